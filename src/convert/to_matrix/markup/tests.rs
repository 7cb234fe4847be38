//! Trees, and what they look like on Matrix.
#![allow(clippy::unwrap_used)]

use rocketchat_markdown::{Block, Color, Inline, ListItem, Task};

use super::super::testing::*;
use super::*;

/// `""` for no HTML.
fn check(table: Vec<(Vec<Block>, &str, &str)>) {
    for (tree, body, html) in table {
        let rendered = render(&tree, &Town);
        let html = Some(html).filter(|html| !html.is_empty());
        assert_eq!(rendered.body, body, "{tree:?}");
        assert_eq!(rendered.html.as_deref(), html, "{tree:?}");
    }
}

/// One paragraph each.
fn check_lines(table: Vec<(Vec<Inline>, &str, &str)>) {
    let paragraphs = table.into_iter();
    check(
        paragraphs
            .map(|(line, body, html)| (vec![p(line)], body, html))
            .collect(),
    );
}

fn items(items: &[(Option<u64>, &str)]) -> Vec<ListItem> {
    let item = |(number, content): &(Option<u64>, &str)| ListItem {
        number: *number,
        content: vec![text(content)],
    };
    items.iter().map(item).collect()
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

#[test]
fn plain_text_stays_exactly_as_it_is() {
    let line = |content: &str| p(vec![text(content)]);
    check(vec![
        (
            vec![line("hi <b>you</b> & \"me\" **x**")],
            "hi <b>you</b> & \"me\" **x**",
            "",
        ),
        (vec![line("one"), line("two")], "one\ntwo", ""),
        (
            vec![line("one"), Block::LineBreak, line("two")],
            "one\n\ntwo",
            "",
        ),
        (
            vec![
                line("one"),
                Block::LineBreak,
                Block::LineBreak,
                Block::LineBreak,
                line("two"),
            ],
            "one\n\n\n\ntwo",
            "",
        ),
        (
            vec![line("   indented\tand   wide  ")],
            "   indented\tand   wide  ",
            "",
        ),
        (vec![line("@room")], "@room", ""),
        (vec![], "", ""),
    ]);
}

#[test]
fn styles() {
    let nested = Inline::Bold(vec![Inline::Italic(vec![Inline::Strike(vec![text("x")])])]);
    check_lines(vec![
        (
            vec![text("a"), bold("b"), text("c")],
            "a**b**c",
            "a<strong>b</strong>c",
        ),
        (vec![Inline::Italic(vec![text("i")])], "*i*", "<em>i</em>"),
        (
            vec![Inline::Strike(vec![text("s")])],
            "~~s~~",
            "<del>s</del>",
        ),
        (
            vec![nested],
            "***~~x~~***",
            "<strong><em><del>x</del></em></strong>",
        ),
        (
            vec![Inline::Code("a <b>".into())],
            "`a <b>`",
            "<code>a &lt;b&gt;</code>",
        ),
        (
            vec![Inline::Code("</code>`x".into())],
            "`` </code>`x ``",
            "<code>&lt;/code&gt;`x</code>",
        ),
        (
            vec![Inline::Spoiler(vec![text("he dies")])],
            "||he dies||",
            "<span data-mx-spoiler>he dies</span>",
        ),
        (
            vec![text("  two  spaces "), bold(" x")],
            "  two  spaces ** x**",
            "\u{a0}\u{a0}two \u{a0}spaces <strong>\u{a0}x</strong>",
        ),
    ]);
}

#[test]
fn lines_and_blocks_keep_a_readable_distance() {
    let b = || p(vec![bold("b")]);
    let t = || p(vec![text("t")]);
    let lb = || Block::LineBreak;
    let rule = || Block::HorizontalRule;
    check(vec![
        (vec![b(), t()], "**b**\nt", "<strong>b</strong><br>t"),
        (
            vec![b(), lb(), t()],
            "**b**\n\nt",
            "<strong>b</strong><br><br>t",
        ),
        (
            vec![b(), lb(), lb(), lb(), lb(), t()],
            "**b**\n\n\n\n\nt",
            "<strong>b</strong><br><br><br>t",
        ),
        (vec![lb(), b(), lb()], "\n**b**\n", "<strong>b</strong>"),
        (
            vec![t(), lb(), rule(), lb(), t()],
            "t\n\n---\n\nt",
            "t<hr>t",
        ),
        (
            // So the parser takes "# H\n\nt".
            vec![
                Block::Heading {
                    level: 1,
                    content: vec![text("H")],
                },
                lb(),
                lb(),
                t(),
            ],
            "# H\n\nt",
            "<h1>H</h1>t",
        ),
    ]);
}

#[test]
fn blocks() {
    let code = |language: &str, lines: &[&str]| Block::Code {
        language: language.to_owned(),
        lines: owned(lines),
    };
    let task = |done, content| Task {
        done,
        content: vec![text(content)],
    };
    let cell = |content: &str| vec![text(content)];
    check(vec![
        (
            vec![code("rust", &["if a < b {", "", "}"])],
            "```rust\nif a < b {\n\n}\n```",
            "<pre><code class=\"language-rust\">if a &lt; b {\n\n}\n</code></pre>",
        ),
        (
            vec![code("none", &["x"])],
            "```\nx\n```",
            "<pre><code>x\n</code></pre>",
        ),
        (
            vec![code("c\"><x y", &["```", "</code></pre>"])],
            "````c\"><x y\n```\n</code></pre>\n````",
            "<pre><code class=\"language-cx\">```\n&lt;/code&gt;&lt;/pre&gt;\n</code></pre>",
        ),
        (
            vec![Block::Heading {
                level: 9,
                content: vec![text("a"), bold("b")],
            }],
            "#### a**b**",
            "<h4>a<strong>b</strong></h4>",
        ),
        (
            vec![
                Block::Quote(vec![
                    p(vec![text("a")]),
                    Block::LineBreak,
                    p(vec![text("b")]),
                ]),
                p(vec![text("c")]),
            ],
            "> a\n> \n> b\nc",
            "<blockquote>a<br><br>b</blockquote>c",
        ),
        (
            vec![
                Block::UnorderedList(items(&[(None, "a"), (None, "b")])),
                p(vec![text("  - c")]),
            ],
            "- a\n- b\n  - c",
            "<ul><li>a</li><li>b</li></ul>\u{a0}\u{a0}- c",
        ),
        (
            vec![Block::OrderedList(items(&[
                (Some(1), "a"),
                (Some(2), "b"),
                (None, "c"),
            ]))],
            "1. a\n2. b\n3. c",
            "<ol><li>a</li><li>b</li><li>c</li></ol>",
        ),
        (
            vec![Block::OrderedList(items(&[
                (Some(7), "a"),
                (Some(7), "b"),
                (Some(0), "c"),
            ]))],
            "7. a\n7. b\n0. c",
            "<ol start=\"7\"><li>a</li></ol><ol start=\"7\"><li>b</li></ol><ol start=\"0\"><li>c</li></ol>",
        ),
        (
            vec![Block::OrderedList(items(&[
                (Some(1), "a"),
                (Some(u64::MAX), "b"),
                (Some(u64::MAX), "c"),
                (Some(1), "d"),
            ]))],
            "1. a\n18446744073709551615. b\n18446744073709551615. c\n1. d",
            "<ol><li>a</li></ol>18446744073709551615. b<br>18446744073709551615. c<ol><li>d</li></ol>",
        ),
        (
            vec![Block::Tasks(vec![task(true, "done"), task(false, "not")])],
            "- [x] done\n- [ ] not",
            "<ul><li>☑ done</li><li>☐ not</li></ul>",
        ),
        (
            vec![Block::Katex("x < \"y\"".into())],
            "$$x < \"y\"$$",
            "<div data-mx-maths=\"x &lt; &quot;y&quot;\"><code>x &lt; &quot;y&quot;</code></div>",
        ),
        (
            vec![Block::Spoiler(vec![
                p(vec![Inline::Spoiler(vec![text("x")])]),
                p(vec![text("y")]),
            ])],
            "||\n||x||\ny\n||",
            "<span data-mx-spoiler>x<br>y</span>",
        ),
        (
            vec![Block::Table {
                head: vec![cell("a"), cell("b")],
                rows: vec![vec![cell("1\n2"), vec![bold("3")]]],
            }],
            "| a | b |\n| --- | --- |\n| 1 2 | **3** |",
            "<table><thead><tr><th>a</th><th>b</th></tr></thead>\
             <tbody><tr><td>1<br>2</td><td><strong>3</strong></td></tr></tbody></table>",
        ),
        (
            vec![Block::BigEmoji(vec![emoji("smile", "smile")])],
            "😄",
            "",
        ),
    ]);
}

#[test]
fn links() {
    let image = |src: &str, label: &str| Inline::Image {
        src: src.to_owned(),
        label: vec![text(label)],
    };
    let styled = Inline::Link {
        src: "https://a.com".into(),
        label: vec![bold("https://a.com")],
    };
    let nested = Inline::Link {
        src: "https://a.com".into(),
        label: vec![link("https://b.com", "b"), at("alice")],
    };
    check_lines(vec![
        (
            vec![link("https://a.com", "a")],
            "[a](https://a.com)",
            "<a href=\"https://a.com\">a</a>",
        ),
        // Clients make links of addresses themselves.
        (
            vec![link("https://a.com", "https://a.com")],
            "https://a.com",
            "",
        ),
        (
            vec![link("//a.com", "a.com")],
            "a.com",
            "<a href=\"https://a.com\">a.com</a>",
        ),
        (
            vec![link("mailto:x@y.org", "x@y.org")],
            "x@y.org",
            "<a href=\"mailto:x@y.org\">x@y.org</a>",
        ),
        (
            vec![link("tel:+4912345678", "+4912345678")],
            "+4912345678",
            "",
        ),
        // As Rocket.Chat takes a number that was typed.
        (
            vec![link("tel:4912345678", "+49 (12) 345678")],
            "+49 (12) 345678",
            "",
        ),
        (
            vec![link("tel:+4912345678", "call")],
            "call (tel:+4912345678)",
            "",
        ),
        (
            vec![link("javascript:alert(1)", "click")],
            "click (javascript:alert(1))",
            "",
        ),
        (
            vec![link("data:text/html,<b>", "x")],
            "x (data:text/html,<b>)",
            "",
        ),
        (
            vec![link("https://a.com/?x&y=\"><b>", "a")],
            "[a](https://a.com/?x&y=\"><b>)",
            "<a href=\"https://a.com/?x&amp;y=&quot;&gt;&lt;b&gt;\">a</a>",
        ),
        // What cannot be seen is said.
        (
            vec![link("https://a.com", " \u{200b}")],
            "https://a.com",
            "",
        ),
        (vec![link("javascript:x", "")], "javascript:x", ""),
        (
            vec![styled],
            "[**https://a.com**](https://a.com)",
            "<a href=\"https://a.com\"><strong>https://a.com</strong></a>",
        ),
        (
            vec![nested],
            "[b (https://b.com)Alice Liddell](https://a.com)",
            "<a href=\"https://a.com\">b (https://b.com)Alice Liddell</a>",
        ),
        (
            vec![image("https://a.com/i.png", "cat")],
            "[cat](https://a.com/i.png)",
            "<a href=\"https://a.com/i.png\">cat</a>",
        ),
        (
            vec![image("https://a.com/i.png", "")],
            "https://a.com/i.png",
            "",
        ),
        (
            vec![image("data:image/png;base64,AA", "cat")],
            "cat (data:image/png;base64,AA)",
            "",
        ),
    ]);
}

#[test]
fn mentions() {
    let to = "https://matrix.to/#/";
    let channel = |name: &str| Inline::MentionChannel(name.to_owned());
    check_lines(vec![
        (
            vec![text("hi "), at("alice"), text(":")],
            "hi Alice Liddell:",
            &format!("hi <a href=\"{to}@rc_alice:example.org\">Alice Liddell</a>:"),
        ),
        (vec![at("nobody")], "@nobody", ""),
        (vec![at("<b>")], "@<b>", ""),
        (vec![at("here")], "@here", ""),
        (vec![at("all")], "@room", ""),
        (
            vec![at("html")],
            "</a><b onclick=\"x\">'&",
            &format!(
                "<a href=\"{to}@rc_a%2F%22%3Cb%3E&amp;%3F%23:example.org\">\
                 &lt;/a&gt;&lt;b onclick=&quot;x&quot;&gt;&#39;&amp;</a>"
            ),
        ),
        (
            vec![at("turned")],
            "ecila",
            &format!("<a href=\"{to}@rc_turned:example.org\">ecila</a>"),
        ),
        (
            vec![at("nameless")],
            "@rc_nameless:example.org",
            &format!("<a href=\"{to}@rc_nameless:example.org\">@rc_nameless:example.org</a>"),
        ),
        (
            vec![at("pretender")],
            "room bob",
            &format!("<a href=\"{to}@rc_pretender:example.org\">room bob</a>"),
        ),
        (
            vec![channel("general")],
            "#general <talk>",
            &format!("<a href=\"{to}%23rc_general:example.org\">#general &lt;talk&gt;</a>"),
        ),
        (
            vec![channel("secret")],
            "#secret <talk>",
            &format!("<a href=\"{to}!abc:example.org?via=example.org\">#secret &lt;talk&gt;</a>"),
        ),
        (vec![channel("elsewhere")], "#elsewhere", ""),
    ]);
}

#[test]
fn who_is_mentioned() {
    let of = |line: Vec<Inline>| {
        let rendered = render(&[p(line)], &Town);
        let ids: Vec<_> = rendered.mentions.iter().map(ToString::to_string).collect();
        (ids.join(" "), rendered.mentions_room)
    };
    let alice = "@rc_alice:example.org".to_owned();
    assert_eq!(
        of(vec![at("alice"), at("bob"), at("alice")]),
        (alice, false)
    );
    assert_eq!(
        of(vec![at("here"), text("@all @alice")]),
        (String::new(), false)
    );
    assert_eq!(of(vec![at("all")]), (String::new(), true));
}

#[test]
fn emoji_colours_formulas_times() {
    let color = |a| {
        Inline::Color(Color {
            r: 255,
            g: 0,
            b: 16,
            a,
        })
    };
    let time = |timestamp: &str, format: &str| Inline::Timestamp {
        timestamp: timestamp.to_owned(),
        format: format.to_owned(),
    };
    check_lines(vec![
        (vec![emoji("slight_smile", ":)"), text(" x")], "🙂 x", ""),
        (vec![emoji("unknown", "unknown")], ":unknown:", ""),
        (vec![emoji("wink", ";)")], ";)", ""),
        (vec![Inline::UnicodeEmoji("🎉".into())], "🎉", ""),
        (
            vec![emoji("parrot", "parrot")],
            ":parrot:",
            "<img data-mx-emoticon src=\"mxc://example.org/parrot\" alt=\":parrot:\" title=\":parrot:\" height=\"32\">",
        ),
        (vec![emoji("broken", "broken")], ":broken:", ""),
        (
            vec![color(255)],
            "#ff0010",
            "<span data-mx-color=\"#ff0010\">■</span> #ff0010",
        ),
        (
            vec![color(128)],
            "#ff001080",
            "<span data-mx-color=\"#ff0010\">■</span> #ff001080",
        ),
        (
            vec![Inline::Katex("x^2".into())],
            "$x^2$",
            "<span data-mx-maths=\"x^2\"><code>x^2</code></span>",
        ),
        (
            vec![time("1630360800", "F")],
            "Monday, 30 August 2021, 22:00 UTC",
            "",
        ),
        (vec![time("<b>", "F")], "<t:<b>:F>", ""),
    ]);
}

#[test]
fn a_tree_of_any_depth_is_safe_and_keeps_its_words() {
    let mut inlines = vec![text("inner"), link("https://a.com", "label")];
    let mut blocks = vec![p(vec![text("words")])];
    for _ in 0..2000 {
        inlines = vec![Inline::Bold(inlines)];
        blocks = vec![Block::Quote(blocks)];
    }
    let rendered = render(&[p(inlines)], &Town);
    assert!(rendered.body.contains("innerlabel (https://a.com)"));
    let rendered = render(&blocks, &Town);
    assert_eq!(
        rendered.body,
        format!("{}words", "> ".repeat(MAX_QUOTE_MARKS))
    );
    assert!(rendered.html.unwrap().contains("words"));
}
