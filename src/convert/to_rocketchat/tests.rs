//! What becomes what, to be read; and what must hold for every input.

use proptest::prelude::*;
use rocketchat_markdown::{Block, Generation, Inline, Options};
use serde_json::json;

use super::*;

fn text(content: &Value) -> Option<String> {
    message(content, &Surroundings::EMPTY)
}

/// `·` stands for U+200B in what is expected.
fn shown(text: Option<String>) -> String {
    text.map_or("nothing".to_owned(), |text| {
        text.replace(ZERO_WIDTH_SPACE, "·")
    })
}

fn username(user: &UserId) -> Option<String> {
    (user.localpart() != "nobody").then(|| user.localpart().to_owned())
}

fn channel(room: &RoomOrAliasId) -> Option<String> {
    room.as_str()
        .starts_with("#general")
        .then(|| "general".to_owned())
}

fn around(may_call_all: bool) -> Surroundings<'static> {
    Surroundings {
        username: &username,
        channel: &channel,
        may_call_all,
    }
}

fn plain(body: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body })
}

fn html(formatted: &str) -> Value {
    json!({
        "msgtype": "m.text",
        "body": "the plain body",
        "format": "org.matrix.custom.html",
        "formatted_body": formatted,
    })
}

fn check(name: &str, table: &[(&str, &str)], content: impl Fn(&str) -> Value) {
    for (input, expected) in table {
        let got = shown(message(&content(input), &around(true)));
        assert_eq!(&got, expected, "{name}: {input}");
    }
}

#[test]
fn text_stays_what_was_typed() {
    check(
        "plain text",
        &[
            ("hi", "hi"),
            ("  two\n\n\nlines  ", "  two\n\n\nlines  "),
            ("a\u{0}b\r\nc\td\re", "ab\nc\tde"),
            ("2 * 3", "2 * 3"),
            ("2*3*4", "2\\*3\\*4"),
            ("1.5*2*3", "1\\.5\\*2\\*3"),
            ("a.\u{a0}~~", "a\\.\u{a0}\\~\\~"),
            ("<s_t\tg_a|<", "<·s\\_t\tg\\_a|<"),
            ("snake_case_name", "snake_case_name"),
            ("_this_ and foo.bar", "\\_this\\_ and foo.bar"),
            ("~/.config", "~/.config"),
            ("```\ncode", "\\`\\`\\`\ncode"),
            (
                "- no list\n1. no\n> no\n# no",
                "·- no list\n·1. no\n·> no\n·# no",
            ),
            ("| a |\n---", "·| a |\n·---"),
            ("||secret||", "·|·|secret|·|"),
            ("\\*a\\*", "\\·\\*a\\·\\*"),
            ("C:\\path\\file", "C:\\path\\file"),
            ("\\(x\\) \\[y\\]", "\\·(x\\·) \\·[y\\·]"),
            ("[a](b.com)", "[a]·(b.com)"),
            ("<t:1630360800> <3", "<·t:1630360800> <3"),
            ("color:#ff0000", "color:#·ff0000"),
            (":) 8) :smile: a:b:c", ":) 8) :smile: a:b:c"),
            ("/shrug well", "/shrug well"),
        ],
        plain,
    );
}

#[test]
fn emphasis_that_is_given_up_leaves_no_channel_behind() {
    check(
        "a sign, and a word that cannot be emphasised",
        &[
            ("#<i>a*</i>", "#·a\\*"),
            ("<s>#<g>d</s>", "~·#·d~"),
            // Within emphasis a channel may begin behind a letter.
            ("<s>of each#five</s>", "~of each#·five~"),
        ],
        html,
    );
}

#[test]
fn a_link_without_an_id_leads_to_nobody() {
    for ids in [
        "//2",
        "/",
        "//",
        "!a:b.c///",
        "!a:b.c//?via=b.c",
        "$e//!a:b.c",
    ] {
        let link = format!("<a href=\"https://matrix.to/#/{ids}\">somebody</a>");
        let said = shown(message(&html(&link), &around(true)));
        assert!(
            said.contains("somebody") && !said.contains('@'),
            "{ids}: {said}"
        );
    }
}

#[test]
fn nothing_said_is_nothing() {
    for content in [
        plain(" \n"),
        plain("\u{200b}"),
        json!({ "msgtype": "m.text" }),
        json!({ "msgtype": "m.text", "body": ["x"] }),
        json!({}),
        json!(null),
    ] {
        assert_eq!(message(&content, &around(true)), None, "{content}");
    }
}

#[test]
fn addresses_stay_links() {
    check(
        "addresses that Rocket.Chat links by itself",
        &[
            (
                "see https://example.org/a_b*c ok",
                "see https://example.org/a_b*c ok",
            ),
            ("https://example.org/x_ ok", "https://example.org/x_ ok"),
        ],
        plain,
    );
    check(
        "addresses that Rocket.Chat would not link",
        &[
            (
                "https://example.org/x.",
                "<https://example.org/x|https://example.org/x>.",
            ),
            (
                "https://example.org/x* and https://example.org/?y=",
                "<https://example.org/x*|https://example.org/x*> and \
                 <https://example.org/?y=|https://example.org/?y=>",
            ),
            (
                "_https://example.org/x_",
                "\\_<https://example.org/x|https://example.org/x>\\_",
            ),
            (
                "README.md foo_bar@example.org",
                "README.md foo_bar@example.org",
            ),
            (
                "http://intranet/a_b_c",
                "<http://intranet/a_b_c|http://intranet/a_b_c>",
            ),
            (
                "(https://example.org/a(b)c)",
                "(<https://example.org/a%28b%29c|https://example.org/a(b)c>)",
            ),
        ],
        plain,
    );
}

#[test]
fn nobody_is_called_by_text_alone() {
    check(
        "plain text",
        &[
            ("@all hi @HERE", "@·all hi @·HERE"),
            ("a@b @allison é@", "a@b @·allison é@"),
            ("(@bob) >@bob @room", "(@·bob) >@·bob @·room"),
            ("#general issue#12 #1", "#·general issue#12 #·1"),
        ],
        plain,
    );
    // U+FEFF is white space to the server.
    let hidden = html("<a href=\"https://x.org/\u{feff}@all\">a</a>");
    assert_eq!(
        shown(message(&hidden, &around(true))),
        "[a](https://x.org/%EF%BB%BF@all)"
    );
    assert_eq!(
        shown(message(
            &html("<pre>@all x</pre><code>y @here</code>"),
            &around(true)
        )),
        "```\n@·all x\n```\n\n`y @·here`"
    );
}

#[test]
fn mentions_notify() {
    let bob = "<a href=\"https://matrix.to/#/@bob:example.org\">Bob</a>";
    let nobody = "<a href=\"https://matrix.to/#/@nobody:example.org\">@all</a>";
    let cases = [
        (format!("{bob}: hi"), "@bob: hi"),
        (format!("Thanks {bob}."), "Thanks @bob·."),
        (format!("({bob}) x{bob}s"), "( @bob) x @bob·s"),
        (format!("<b>hey {bob} you</b>"), "*hey* @bob *you*"),
        (format!("<blockquote>{bob}</blockquote>"), "> @bob"),
        (format!("<h1>for {bob}</h1>"), "*for* @bob"),
        (nobody.to_owned(), "@·all"),
        (
            "<a href=\"matrix:u/bob:example.org\">B</a>".to_owned(),
            "@bob",
        ),
        (
            "<a href=\"https://matrix.to/#/%23general:x.org\">g</a>.".to_owned(),
            "#general·.",
        ),
        (
            "<a href=\"https://matrix.to/#/%23other:x.org\">other</a>".to_owned(),
            "other",
        ),
    ];
    for (input, expected) in cases {
        assert_eq!(
            shown(message(&html(&input), &around(true))),
            expected,
            "{input}"
        );
    }
}

#[test]
fn typed_mentions_count_when_the_sender_says_so() {
    let content = json!({
        "msgtype": "m.text",
        "body": "@bob: and @bobby, (@bob:example.org) @room",
        "m.mentions": { "user_ids": ["@bob:example.org", "nonsense", 7], "room": true },
    });
    assert_eq!(
        shown(message(&content, &around(true))),
        "@bob: and @·bobby, ( @bob) @all"
    );
    assert_eq!(
        shown(message(&content, &around(false))),
        "@bob: and @·bobby, ( @bob) @·room"
    );
    // A name that calls everybody is nobody's.
    let all = json!({
        "msgtype": "m.text",
        "body": "@all",
        "m.mentions": { "user_ids": ["@all:example.org"] },
    });
    assert_eq!(shown(message(&all, &around(true))), "@·all");
}

#[test]
fn formatting_becomes_the_dialect() {
    check(
        "html",
        &[
            ("<b>b</b> <em>i</em> <del>s</del> <u>u</u>", "*b* _i_ ~s~ u"),
            ("a<i>b</i>c (<b>x</b>)", "a·_b_·c (·*x*·)"),
            ("<b>a <i>b</i> c</b>", "*a _b_ c*"),
            ("<b>a*b</b> &lt;i&gt; *x*", "a\\*b <·i> \\*x\\*"),
            ("<b>a<br>b</b>", "*a*\n*b*"),
            ("<p>one</p><p>two<br>three</p>", "one\n\ntwo\nthree"),
            (
                "<h1>Title</h1><p>x</p><h5>five</h5>",
                "# Title\nx\n\n*five*",
            ),
            ("<h2>a_b (c)</h2>", "*a_b (c)·*"),
            (
                "<ul><li>a<ul><li>b<ol><li>c</li></ol></li></ul></li><li>[x] d</li></ul>e",
                "- a\n    ◦ b\n        1. c\n- ·[x] d\n\ne",
            ),
            (
                "<ol start=3><li><p>a</p><p>b</p><li>c</ol>",
                "3. a\n    b\n4. c",
            ),
            (
                "<blockquote><p>q</p><p>r</p><blockquote>s</blockquote></blockquote>t",
                "> q\n> ·\n> r\n> › s\n\nt",
            ),
            (
                "<pre><code class=\"language-rust\">let a = b*c;\n\n// ```\n</code></pre>x",
                "```rust\nlet a = b*c;\n\n// `·`·`\n```\n\nx",
            ),
            ("<code>a*b</code> <code>a`b</code>", "`a*b` a\\`b"),
            (
                "<a href=\"https://example.org/x_(y)\">site</a>",
                "[site](https://example.org/x_%28y%29)",
            ),
            (
                "[1] <a href=\"https://example.org\">a *b*</a>",
                "[1] <https://example.org|a *b*>",
            ),
            (
                "<a href=\"https://example.org/?y=\">site</a>, ok",
                "<https://example.org/?y=|site>, ok",
            ),
            (
                "<a href=\"example.org:8080/x\">site</a> <a href=\"x:80\">x</a>",
                "[site](https://example.org:8080/x) x (x:·80)",
            ),
            (
                "<a href=\"https://example.org/\">a > b</a>",
                "a > b (<https://example.org/|https://example.org/>)",
            ),
            (
                "<b>a <code>b</code></b> <b>a<code>b</code></b>",
                "*a `b`* a`b`",
            ),
            (
                "<a href=\"javascript:alert(1)\">x</a>",
                "x (javascript:·alert(1))",
            ),
            (
                "<span data-mx-spoiler=\"why\">it</span>",
                "[spoiler: why] it",
            ),
            (
                "<table><tr><th>A<th>B</tr><tr><td>1<td>2</table>",
                "*A* | *B*\n1 | 2",
            ),
            (
                "<details><summary>more</summary>text</details>",
                "*more*\ntext",
            ),
            (
                "<img data-mx-emoticon alt=\":blob_cat:\"> <img alt=\"a cat\">",
                ":blob_cat: a cat",
            ),
            (
                "<span data-mx-maths=\"x^2\">x2</span> y<sup>2</sup>",
                "\\(x^2\\) y²",
            ),
            ("a<hr>b", "a\n\n---\n\nb"),
            ("<mx-reply>old</mx-reply>new", "new"),
            ("<script>1</script><!-- c -->ok<style>2</style>", "ok"),
            ("<font color=red>r</font> <nonsense>x</nonsense>", "r x"),
            ("<p></p>", "the plain body"),
        ],
        html,
    );
}

#[test]
fn the_quote_before_a_reply_goes() {
    let reply = |body: &str| {
        json!({
            "msgtype": "m.text",
            "body": body,
            "m.relates_to": { "m.in_reply_to": { "event_id": "$x" } },
        })
    };
    let old = "> <@bob:example.org> one\n> two\n\nanswer";
    assert_eq!(text(&reply(old)), Some("answer".to_owned()));
    assert_eq!(shown(text(&reply("> mine"))), "·> mine");
    assert_eq!(shown(text(&plain("> <@a:b> x\n\ny"))), "·> <@·a:b> x\n\ny");
}

#[test]
fn each_kind_of_message_has_its_form() {
    let of = |kind: &str, body: &str| shown(text(&json!({ "msgtype": kind, "body": body })));
    assert_eq!(of("m.notice", "hi"), "hi");
    assert_eq!(of("m.emote", "waves\ntwice"), "_waves_\n_twice_");
    assert_eq!(of("m.emote", "uses snake_case_"), "·* uses snake\\_case\\_");
    assert_eq!(of("m.image", "cat.png"), "[image: cat.png]");
    assert_eq!(of("m.file", "a:b:c main.rs"), "[file: a:·b:·c main\\.rs]");
    assert_eq!(of("org.example", "x"), "[org\\.example: x]");
    let caption = json!({
        "msgtype": "m.image", "filename": "cat.png", "body": "my *cat*",
        "format": "org.matrix.custom.html", "formatted_body": "my <i>cat</i>",
    });
    assert_eq!(shown(text(&caption)), "[image: cat.png]\nmy _cat_");
    let place = json!({ "msgtype": "m.location", "body": "Home", "geo_uri": "geo:52.5,13.4;u=30" });
    assert_eq!(
        shown(text(&place)),
        "[location: Home] https://www.openstreetmap.org/?mlat=52.5&mlon=13.4"
    );
    let nowhere = json!({ "msgtype": "m.location", "body": "Home", "geo_uri": "geo:1e9,x" });
    assert_eq!(shown(text(&nowhere)), "[location: Home]");
}

#[test]
fn a_caption_is_what_is_said_beside_the_name() {
    let of = |content: Value| shown(caption(&content, &Surroundings::EMPTY));
    let named = |body: &str| json!({ "msgtype": "m.file", "filename": "a.txt", "body": body });
    assert_eq!(of(named("look: *here*")), "look: \\*here\\*");
    assert_eq!(of(named("a.txt")), "nothing");
    assert_eq!(of(named(" ")), "nothing");
    assert_eq!(
        of(json!({ "msgtype": "m.file", "body": "a.txt" })),
        "nothing",
        "without a name the body is the name"
    );
}

#[test]
fn other_events_say_what_they_are() {
    let of = |kind: &str, content: Value| shown(event(kind, &content, &around(false)));
    assert_eq!(of("m.sticker", json!({ "body": "cat" })), "[sticker: cat]");
    let poll = json!({ "org.matrix.msc3381.poll.start": {
        "question": { "org.matrix.msc1767.text": "Tea?" },
        "answers": [{ "id": "1", "org.matrix.msc1767.text": "yes" }, { "m.text": [{ "body": "*no*" }] }],
    }});
    assert_eq!(
        of("org.matrix.msc3381.poll.start", poll),
        "[poll: Tea?]\n- yes\n- \\*no\\*"
    );
    assert_eq!(of("m.poll.start", json!({})), "[poll]");
    assert_eq!(
        of(
            "m.call.invite",
            json!({ "offer": { "sdp": "v=0\nm=video 9" } })
        ),
        "[video call started]"
    );
    assert_eq!(of("m.call.candidates", json!({})), "nothing");
    assert_eq!(
        of("org.new", json!({ "m.text": "said @all" })),
        "said @·all"
    );
    assert_eq!(
        of("org.new", json!({})),
        "[a message of type org\\.new that cannot be shown here]"
    );
}

#[test]
fn hostile_html_costs_little_and_loses_nothing() {
    let started = std::time::Instant::now();
    let texts = [
        format!("{}x", "<b>".repeat(20_000)),
        format!("{}x", "<div><i>".repeat(8_000)),
        format!("{}x", "<blockquote><ul><li>".repeat(3_000)),
        format!("{}x", "<b a=1><p>".repeat(6_000)),
        format!("{}x", "</b>".repeat(16_000)),
        format!("<b {}>x", "a=b ".repeat(10_000)),
        format!("<b title='{}'>x", "y".repeat(60_000)),
        format!("{}x", "<table><tr><td>".repeat(4_000)),
        format!("{}x", "&#x2a;_".repeat(8_000)),
        format!("{}x", "<b>*<i>_<s>~".repeat(5_000)),
    ];
    for text in texts {
        let content = html(&text);
        let said = shown(message(&content, &around(true)));
        let start: String = text.chars().take(30).collect();
        assert!(said.contains('x'), "{start}");
        assert!(said.len() < 40 * 65_536, "{start}: {} bytes", said.len());
    }
    // More than an event can have is not read as HTML.
    let huge = html(&"<b>x</b>".repeat(20_000));
    assert_eq!(shown(message(&huge, &around(true))), "the plain body");
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

/// The text of a tree, mentions and emoji as typed; formatting as `{…}`, which no
/// plain text may become.
fn read(text: &str, generation: Generation) -> String {
    let options = Options {
        generation,
        ..Options::default()
    };
    let mut out = Vec::new();
    for block in rocketchat_markdown::parse(text, &options) {
        match block {
            Block::Paragraph(inlines) | Block::BigEmoji(inlines) => out.push(inline(&inlines)),
            Block::LineBreak => out.push(String::new()),
            other => out.push(format!("{{{other:?}}}")),
        }
    }
    // How many empty lines a server keeps is not for the text to decide.
    out.iter()
        .map(|line| line.replace(ZERO_WIDTH_SPACE, ""))
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

fn inline(inlines: &[Inline]) -> String {
    inlines
        .iter()
        .map(|piece| match piece {
            Inline::Text(text) | Inline::UnicodeEmoji(text) => text.clone(),
            Inline::Link { label, .. } => inline(label),
            Inline::Emoji { short_code, typed } if short_code == typed => format!(":{typed}:"),
            Inline::Emoji { typed, .. } => typed.clone(),
            other => format!("{{{other:?}}}"),
        })
        .collect()
}

fn squeezed(text: &str) -> String {
    text.replace(ZERO_WIDTH_SPACE, "")
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

/// All letters anywhere in a tree.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphabetic()).collect()
}

fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,4}",
        " ",
        prop::sample::select(vec![
            "*",
            "_",
            "~",
            "`",
            "```",
            "\n",
            ".",
            ",",
            ":",
            "(",
            ")",
            "[",
            "]",
            "](",
            "<",
            ">",
            "|",
            "||",
            "\\",
            "#",
            "@",
            "- ",
            "1. ",
            "> ",
            "# ",
            "---",
            "1.5",
            "e.g.",
            "@bob",
            "#general",
            "[a](https://a.com)",
            "https://example.org/x_y ",
            "snake_case",
            "2*3*4",
            "<b>",
            "é",
            "$",
            "color:#ff0000",
            "||x||",
            "\\(x\\)",
            "[ ] ",
            "!",
            "?",
            "\"",
            "'",
            "/",
            "+",
        ])
        .prop_map(str::to_owned),
    ]
}

fn node(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        "[a-z]{1,5}( [a-z]{1,4})?",
        prop::sample::select(vec![
            " ",
            "*",
            "_",
            "~",
            "`",
            ".",
            ", ",
            ":",
            "(",
            ")",
            "[x]",
            "&lt;",
            "&amp;",
            "e.g. ",
            "|",
            "<br>",
            "<hr>",
            "@all ",
            "\\",
            "snake_case",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(depth, 40, 4, |inner| {
        let tags = vec![
            "b",
            "i",
            "del",
            "u",
            "p",
            "div",
            "blockquote",
            "ul",
            "ol",
            "li",
            "h1",
            "h5",
            "code",
            "pre",
            "table",
            "tr",
            "td",
            "th",
            "summary",
            "span",
        ];
        (
            prop::sample::select(tags),
            prop::collection::vec(inner, 1..4),
            prop::bool::weighted(0.9),
        )
            .prop_map(|(tag, inside, closed)| {
                let end = if closed {
                    format!("</{tag}>")
                } else {
                    String::new()
                };
                format!("<{tag}>{}{end}", inside.concat())
            })
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_as_it_was_typed(parts in prop::collection::vec(fragment(), 1..12)) {
        let typed = parts.concat();
        let written = text(&plain(&typed)).unwrap_or_default();
        for generation in [Generation::V6, Generation::V8_7] {
            let (mut got, mut expected) = (read(&written, generation), squeezed(&typed));
            // The tree of nothing but emoticons has no white space.
            if got.len() < 16 {
                got.retain(|c| !c.is_whitespace());
                expected.retain(|c| !c.is_whitespace());
            }
            prop_assert_eq!(got, expected, "{:?} of {:?}", generation, written);
        }
    }

    #[test]
    fn any_html_keeps_its_letters(parts in prop::collection::vec(node(4), 1..4)) {
        let source = format!("x{}", parts.concat());
        let plain: String = source
            .split('<')
            .map(|part| part.split_once('>').map_or(part, |(_, text)| text))
            .collect::<String>()
            .replace("&lt;", "<")
            .replace("&amp;", "&");
        let written = message(&html(&source), &around(true)).unwrap_or_default();
        prop_assert_eq!(letters(&written), letters(&plain), "{}", written);
    }

    #[test]
    fn any_html_is_read_as_it_was_said(parts in prop::collection::vec(node(4), 1..4)) {
        let content = html(&parts.concat());
        let said = said(&content, Style::PLAIN, &around(true)).unwrap_or_default();
        let written = write::lines(&said).text;
        prop_assert_eq!(proof::misread(&said, &written), Vec::<usize>::new(), "{:?}", written);
    }

    #[test]
    fn anything_is_taken_without_panic(any in any::<String>()) {
        let _ = message(&html(&any), &around(true));
        let _ = message(&plain(&any), &around(true));
        let _ = event(&any, &plain(&any), &around(true));
        let parts = split(&any, 64);
        prop_assert!(parts.iter().all(|part| part.encode_utf16().count() <= 64));
    }
}
