//! Every construct of the dialect: what is typed, and what it becomes.
//!
//! Trees are written in a shorthand: `*…*` bold, `/…/` italic, `~…~` struck, `||…||` a
//! spoiler, `'…'` code, `{label -> address}` a link, `{!alt -> address}` an image,
//! `<@name>` and `<#name>` mentions, `<:code:>` a shortcode or emoticon, `<emoji>` an
//! emoji, `<#rrggbbaa>` a colour, `<t:…>` a time, `$…$` a formula; `¶` begins a
//! paragraph, `↵` is an empty line.

use rocketchat_markdown::{Block, Generation, Inline, ListItem, Options, parse};

fn inlines(content: &[Inline]) -> String {
    content.iter().map(inline).collect()
}

fn inline(inline: &Inline) -> String {
    match inline {
        Inline::Text(text) => text.clone(),
        Inline::Bold(content) => format!("*{}*", inlines(content)),
        Inline::Italic(content) => format!("/{}/", inlines(content)),
        Inline::Strike(content) => format!("~{}~", inlines(content)),
        Inline::Spoiler(content) => format!("||{}||", inlines(content)),
        Inline::Code(code) => format!("'{code}'"),
        Inline::Link { src, label } => format!("{{{} -> {src}}}", inlines(label)),
        Inline::Image { src, label } => format!("{{!{} -> {src}}}", inlines(label)),
        Inline::MentionUser(name) => format!("<@{name}>"),
        Inline::MentionChannel(name) => format!("<#{name}>"),
        Inline::Emoji { short_code, .. } => format!("<:{short_code}:>"),
        Inline::UnicodeEmoji(emoji) => format!("<{emoji}>"),
        Inline::Color(c) => format!("<#{:02x}{:02x}{:02x}{:02x}>", c.r, c.g, c.b, c.a),
        Inline::Katex(tex) => format!("${tex}$"),
        Inline::Timestamp { timestamp, format } => format!("<t:{timestamp}:{format}>"),
    }
}

fn items(items: &[ListItem]) -> String {
    let item = |item: &ListItem| match item.number {
        Some(number) => format!("({number} {})", inlines(&item.content)),
        None => format!("({})", inlines(&item.content)),
    };
    items.iter().map(item).collect()
}

fn cells(cells: &[Vec<Inline>]) -> String {
    cells
        .iter()
        .map(|cell| format!("[{}]", inlines(cell)))
        .collect()
}

fn block(block: &Block) -> String {
    match block {
        Block::Paragraph(content) => format!("¶{}", inlines(content)),
        Block::LineBreak => "↵".to_owned(),
        Block::Code { language, lines } => format!("code({language}: {})", lines.join("⏎")),
        Block::Heading { level, content } => format!("h{level}({})", inlines(content)),
        Block::Quote(content) => format!("quote({})", blocks(content)),
        Block::UnorderedList(list) => format!("ul{}", items(list)),
        Block::OrderedList(list) => format!("ol{}", items(list)),
        Block::Tasks(tasks) => tasks
            .iter()
            .map(|task| {
                format!(
                    "task({} {})",
                    if task.done { 'x' } else { '-' },
                    inlines(&task.content)
                )
            })
            .collect(),
        Block::Katex(tex) => format!("$${tex}$$"),
        Block::BigEmoji(emoji) => format!("big({})", inlines(emoji)),
        Block::Spoiler(content) => format!("spoiler({})", blocks(content)),
        Block::HorizontalRule => "rule".to_owned(),
        Block::Table { head, rows } => {
            let rows: String = rows.iter().map(|row| format!("/{}", cells(row))).collect();
            format!("table({}{rows})", cells(head))
        }
    }
}

fn blocks(content: &[Block]) -> String {
    content.iter().map(block).collect()
}

fn check(options: &Options, table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(blocks(&parse(text, options)), *expected, "{text:?}");
    }
}

fn v6(table: &[(&str, &str)]) {
    check(&Options::default(), table);
}

fn v8_7(table: &[(&str, &str)]) {
    check(
        &Options {
            generation: Generation::V8_7,
            ..Options::default()
        },
        table,
    );
}

fn both(table: &[(&str, &str)]) {
    v6(table);
    v8_7(table);
}

#[test]
fn one_and_two_markers_mean_the_same() {
    both(&[
        ("*b* **b**", "¶*b* *b*"),
        ("_i_ __i__", "¶/i/ /i/"),
        ("~s~ ~~s~~", "¶~s~ ~s~"),
        ("***x***", "¶**x**"),
        ("__init__", "¶/init/"),
    ]);
}

#[test]
fn bold_and_strike_work_within_words_but_italic_does_not() {
    both(&[
        ("a*b*c", "¶a*b*c"),
        ("2*3*4", "¶2*3*4"),
        ("a~b~c", "¶a~b~c"),
        ("snake_case_name", "¶snake_case_name"),
        ("_a_b", "¶_a_b"),
    ]);
}

#[test]
fn emphasis_needs_content_and_one_line() {
    both(&[
        ("x * bold *", "¶x * bold *"),
        ("* *", "¶* *"),
        ("*a\nb*", "¶*a¶b*"),
        ("*unclosed", "¶*unclosed"),
    ]);
}

#[test]
fn styles_nest_in_any_order_but_not_in_themselves() {
    both(&[
        ("*_~x~_*", "¶*/~x~/*"),
        ("_*x*_", "¶/*x*/"),
        ("*a _b* c_", "¶*a /b* c/"),
        (
            "*a `c` @u #r [l](https://a.com)*",
            "¶*a 'c' <@u> <#r> {l -> https://a.com}*",
        ),
        ("*https://a.com*", "¶*https://a.com*"),
    ]);
}

#[test]
fn code_spans_take_one_backtick() {
    v6(&[
        ("`c *x*`", "¶'c *x*'"),
        ("``c``", "¶`'c'`"),
        ("`a\nb`", "¶`a¶b`"),
        ("``", "¶``"),
    ]);
}

#[test]
fn fences_begin_lines_and_hold_something() {
    both(&[
        ("```\na\n\nb\n```", "code(none: a⏎⏎b)"),
        ("```js\na\n```", "code(js: a)"),
        ("```c++\na\n```", "¶```c++¶a¶```"),
        ("```a```", "¶``'a'``"),
        ("x\n```\na\n```\ny", "¶xcode(none: a)↵¶y"),
    ]);
}

#[test]
fn quotes_merge_and_hold_text_only() {
    both(&[
        ("> a\n>b", "quote(¶a¶b)"),
        ("> > n", "quote(¶> n)"),
        ("> # h", "quote(¶# h)"),
        ("> a\nb", "quote(¶a)¶b"),
    ]);
    v6(&[("> a\n>\n> b", "quote(¶a)¶>quote(¶b)")]);
    v8_7(&[("> a\n>\n> b", "quote(¶a¶¶b)")]);
}

#[test]
fn headings_have_four_levels() {
    both(&[
        ("# H", "h1(H)"),
        ("#### H", "h4(H)"),
        ("##### H", "¶##### H"),
        ("#H", "¶<#H>"),
    ]);
    v6(&[("# *H*\nx", "h1(*H*)↵¶x")]);
    v8_7(&[("# _H_\nx", "h1(/H/)¶x")]);
}

#[test]
fn lists_do_not_nest() {
    both(&[
        ("- a\n- b", "ul(a)(b)"),
        ("* a\n* b", "ul(a)(b)"),
        ("- a\n* b", "ul(a)ul(b)"),
        ("- a\n  - b", "ul(a)¶  - b"),
        ("+ a", "¶+ a"),
        ("3. a\n7. b", "ol(3 a)(7 b)"),
        ("1) a", "¶1) a"),
        ("- [ ] a\n- [x] b", "task(- a)task(x b)"),
        ("- [X] a", "ul([X] a)"),
        ("* a*", "¶* a*"),
    ]);
    v6(&[("0. a", "ol(a)")]);
    v8_7(&[("0. a", "ol(0 a)")]);
}

#[test]
fn links_have_a_label_and_an_address() {
    both(&[
        ("[t](https://a.com)", "¶{t -> https://a.com}"),
        ("[t](a.com)", "¶{t -> a.com}"),
        ("[t](sip:x)", "¶{t -> sip:x}"),
        ("[t](+49123456)", "¶{t -> tel:49123456}"),
        ("[t](/x)", "¶[t](/x)"),
        ("[](https://a.com)", "¶{https://a.com -> https://a.com}"),
        ("[_*t*_](https://a.com)", "¶{/*t*/ -> https://a.com}"),
        ("[@u :)](https://a.com)", "¶{@u :) -> https://a.com}"),
        ("<https://a.com|t *x*>", "¶{t *x* -> https://a.com}"),
        (
            "![alt](https://a.com/x.png)",
            "¶{!alt -> https://a.com/x.png}",
        ),
        (
            "![](https://a.com/x.png)",
            "¶{!https://a.com/x.png -> https://a.com/x.png}",
        ),
    ]);
    v6(&[("[t](https://a.com/x_(y))", "¶{t -> https://a.com/x_(y})")]);
    v8_7(&[("[t](https://a.com/x_(y))", "¶{t -> https://a.com/x_(y)}")]);
}

#[test]
fn what_looks_like_an_address_is_linked_where_somebody_may_own_it() {
    both(&[
        (
            "https://a.com/x?y#z",
            "¶{https://a.com/x?y#z -> https://a.com/x?y#z}",
        ),
        ("a.com", "¶{a.com -> //a.com}"),
        ("README.md", "¶{README.md -> //README.md}"),
        ("a.invalid", "¶a.invalid"),
        ("https://a.com, b", "¶{https://a.com -> https://a.com}, b"),
        ("me@a.com", "¶{me@a.com -> mailto:me@a.com}"),
        ("me@a.invalid", "¶me@a.invalid"),
        ("+4912345678", "¶{+4912345678 -> tel:4912345678}"),
        ("+(49)123-45", "¶{+(49)123-45 -> tel:4912345}"),
        ("+1-2", "¶+1-2"),
        ("a.b\\_c", "¶a.b\\_c"),
    ]);
    v6(&[
        ("(https://a.com)", "¶(https://a.com)"),
        ("https://a.com.", "¶{https://a.com. -> https://a.com.}"),
        ("http://10.0.0.1/", "¶http://10.0.0.1/"),
        (
            "http://localhost:80",
            "¶{http://localhost:80 -> http://localhost:80}",
        ),
    ]);
    v8_7(&[
        ("(https://a.com)", "¶({https://a.com -> https://a.com})"),
        ("https://a.com.", "¶{https://a.com -> https://a.com}."),
        (
            "http://10.0.0.1/",
            "¶{http://10.0.0.1/ -> http://10.0.0.1/}",
        ),
    ]);
}

#[test]
fn the_workspace_s_own_domains_are_linked() {
    let options = Options {
        custom_domains: vec!["intranet".to_owned()],
        ..Options::default()
    };
    check(
        &options,
        &[(
            "http://wiki.intranet/x",
            "¶{http://wiki.intranet/x -> http://wiki.intranet/x}",
        )],
    );
    v6(&[("http://wiki.intranet/x", "¶http://wiki.intranet/x")]);
}

#[test]
fn mentions_stand_apart_from_words() {
    both(&[
        ("@user hi", "¶<@user> hi"),
        ("@user:a.com", "¶<@user:a.com>"),
        ("@user@a.com", "¶<@user@a.com>"),
        ("(@user)", "¶(<@user>)"),
        ("*@user*", "¶*<@user>*"),
        ("a@user", "¶a@user"),
        ("#room #räume", "¶<#room> <#räume>"),
        ("a#room", "¶a#room"),
        ("@", "¶@"),
    ]);
}

#[test]
fn emoji_stand_apart_from_text() {
    both(&[
        ("hi :smile: there", "¶hi <:smile:> there"),
        ("a:smile:b", "¶a:smile:b"),
        ("hi :)", "¶hi <:slight_smile:>"),
        ("hi:) x", "¶hi:) x"),
        ("hi <3 x", "¶hi <:heart:> x"),
        ("hi 🙂 👨‍👩‍👧 👍🏽 🇩🇪 x", "¶hi <🙂> <👨‍👩‍👧> <👍🏽> <🇩🇪> x"),
        (":) 🙂 :tada:", "big(<:slight_smile:><🙂><:tada:>)"),
        ("🙂🙂🙂🙂", "¶<🙂><🙂><🙂><🙂>"),
        ("8)", "big(<:sunglasses:>)"),
    ]);
    v6(&[("x 🫡 1️⃣", "¶x 🫡 1️⃣")]);
    v8_7(&[("x 🫡 1️⃣", "¶x <🫡> <1️⃣>")]);
    check(
        &Options {
            emoticons: false,
            ..Options::default()
        },
        &[("x :)", "¶x :)")],
    );
}

#[test]
fn formulas_follow_the_settings() {
    both(&[
        (r"a \(x_1\) b", "¶a $x_1$ b"),
        (r"\[x", r"¶\[x"),
        ("\\[x\ny\\]", "$$x\ny$$"),
        ("$x$", "¶$x$"),
        (r"a \(x", r"¶a \(x"),
    ]);
    let dollar = Options {
        katex_dollar: true,
        katex_parenthesis: false,
        ..Options::default()
    };
    check(
        &dollar,
        &[
            ("a $x$", "¶a $x$"),
            ("$$x$$", "$$x$$"),
            (r"\(x\)", r"¶\(x\)"),
        ],
    );
    assert_eq!(
        parse("$x$", &dollar),
        [Block::Paragraph(vec![Inline::Katex("x".to_owned())])]
    );
}

#[test]
fn times_and_colours_have_fixed_forms() {
    both(&[
        (
            "<t:1630360800> <t:1630360800:R>",
            "¶<t:1630360800:t> <t:1630360800:R>",
        ),
        ("<t:163036080>", "¶<t:163036080>"),
        ("<t:1630360800:x>", "¶<t:1630360800:x>"),
        ("color:#f00", "¶<#ff0000ff>"),
        ("color:#ff000080", "¶<#ff000080>"),
        ("color:#ff00", "¶<#ffff0000>"),
        ("color:#ff000", "¶color:#ff000"),
        ("color:#xyz", "¶color:#xyz"),
    ]);
    check(
        &Options {
            colors: false,
            ..Options::default()
        },
        &[("color:#f00", "¶color:#f00")],
    );
}

#[test]
fn a_backslash_escapes_few_characters() {
    both(&[
        (r"\*a\* \_ \~ \` \# \.", "¶*a* _ ~ ` # ."),
        (r"\> \- \@ \\", r"¶\> \- \@ \\"),
        (r"\\*a\\*", r"¶\*a\*"),
        (r"*a\*b*", r"¶*a\*b*"),
    ]);
}

#[test]
fn spoilers_tables_and_rules_came_with_8_7() {
    v6(&[
        ("||x||", "¶||x||"),
        ("---", "¶---"),
        ("|a|\n|-|", "¶|a|¶|-|"),
    ]);
    v8_7(&[
        ("a ||x *y*||", "¶a ||x *y*||"),
        ("||\na\nb\n||", "spoiler(¶a¶b)"),
        ("---", "rule"),
        ("--", "¶--"),
        (
            "| a | b |\n|---|:-:|\n| 1 | *2* |\n| 3 |",
            "table([a][b]/[1][*2*]/[3][])",
        ),
        (r"|a\|b|", r"¶|a\|b|"),
        ("|a\\|b|\n|-|", "table([a|b])"),
        // The server drops the last cell.
        ("|a|\n|-|\n|1|2|", "table([a]/[1][2])"),
    ]);
}

#[test]
fn html_is_text() {
    both(&[("<b>x</b> &lt;", "¶<b>x</b> &lt;")]);
}

#[test]
fn every_line_is_a_paragraph_and_empty_lines_count() {
    both(&[
        ("a\nb", "¶a¶b"),
        ("a\n\nb", "¶a↵¶b"),
        ("\na", "↵¶a"),
        ("", ""),
    ]);
}

#[test]
fn an_address_behind_mailto_is_never_lost() {
    // The server forgets the word when it does not link the address.
    both(&[
        ("mailto:me@a.invalid", "¶mailto:me@a.invalid"),
        ("mailto:me@a.com", "¶{me@a.com -> mailto:me@a.com}"),
    ]);
}
