//! Messages with what is attached to them, and what people on Matrix read.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{Town, disallowed_in, link, p, parse, text};
use super::*;

fn message(more: &Value) -> Message {
    let mut document = json!({
        "_id": "m", "rid": "r", "msg": "", "ts": "2026-01-01T00:00:00.000Z",
        "u": { "_id": "u", "username": "bob" },
    });
    for (key, value) in more.as_object().unwrap() {
        document[key] = value.clone();
    }
    serde_json::from_value(document).unwrap()
}

/// A message as its parser would have it, with no quote shown.
fn said(more: &Value) -> Rendered {
    say(&message(more), &[], &Town, &parse, &[], &[])
}

/// `""` for no HTML.
fn check(table: Vec<(Value, &str, &str)>) {
    for (more, body, html) in table {
        let rendered = said(&more);
        assert_eq!(rendered.body, body, "{more}");
        assert_eq!(rendered.html.as_deref().unwrap_or(""), html, "{more}");
    }
}

#[test]
fn text_and_what_is_attached() {
    let file = json!({ "type": "file", "title": "a\u{202e}.png", "title_link": "/file-upload/F/a.png",
        "image_url": "/file-upload/T/a.png", "description": "look" });
    // As webhooks sent them in the recordings.
    let bare = json!({ "text": "att", "ts": "1970-01-01T00:00:00.000Z", "title": "T" });
    check(vec![
        (json!({ "msg": "hi\n\nyou" }), "hi\n\nyou", ""),
        (
            json!({ "msg": "see", "attachments": [file] }),
            "see\n[file: a.png]\nlook",
            "",
        ),
        (
            json!({ "attachments": [{ "audio_url": "/file-upload/x" }] }),
            "[file]",
            "",
        ),
        (
            json!({ "msg": "by *hook*", "attachments": [bare] }),
            "by **hook**\n**T**\natt",
            "by <strong>hook</strong><br><strong>T</strong><br>att",
        ),
        (
            json!({ "msg": "1 <  2", "attachments": [bare, bare] }),
            "1 <  2\n**T**\natt\n**T**\natt",
            "1 &lt; \u{a0}2<br><strong>T</strong><br>att<br><strong>T</strong><br>att",
        ),
        (json!({}), NOTHING, ""),
        (json!({ "msg": " \n\u{200b}" }), NOTHING, ""),
        (
            json!({ "attachments": [{}, { "color": "#f00" }] }),
            NOTHING,
            "",
        ),
    ]);
}

#[test]
fn a_card_says_all_that_it_has() {
    let card = json!({
        "color": "#ff0000", "pretext": "*new* build",
        "author_name": "\u{202e}@CI <b>", "author_link": "https://ci.org", "author_icon": "https://ci.org/i.png",
        "title": "Build 7", "title_link": "https://ci.org/7",
        "text": "it *failed*",
        "fields": [
            { "title": "by", "value": "*bob*", "short": true },
            { "title": "log", "value": "a\nb" },
            { "title": "tries", "value": 3 },
            { "title": "", "value": "untitled" },
        ],
        "image_url": "https://ci.org/graph.png", "thumb_url": "data:image/png;base64,AAAA",
        "actions": [
            { "type": "button", "text": "Again", "url": "https://ci.org/again" },
            { "type": "button", "text": "Stop", "msg": "stop 7" },
            { "type": "button", "image_url": "https://ci.org/b.png", "url": "javascript:x" },
            { "type": "button" },
        ],
        "footer": "ci.org",
    });
    check(vec![(
        json!({ "attachments": [card] }),
        "**new** build\n\
         [CI <b>](https://ci.org)\n\
         **[Build 7](https://ci.org/7)**\n\
         it **failed**\n\
         **by**: **bob**\n\
         **log**:\na\nb\n\
         **tries**: 3\n\
         untitled\n\
         https://ci.org/graph.png\n\
         [image]\n\
         - [Again](https://ci.org/again)\n- Stop → “stop 7”\n- [image] (javascript:x)\n\
         *ci.org*",
        "<strong>new</strong> build<br>\
         <a href=\"https://ci.org\">CI &lt;b&gt;</a><br>\
         <strong><a href=\"https://ci.org/7\">Build 7</a></strong><br>\
         it <strong>failed</strong><br>\
         <strong>by</strong>: <strong>bob</strong><br>\
         <strong>log</strong>:<br>a<br>b<br>\
         <strong>tries</strong>: 3<br>\
         untitled<br>\
         <a href=\"https://ci.org/graph.png\">https://ci.org/graph.png</a><br>\
         [image]\
         <ul><li><a href=\"https://ci.org/again\">Again</a></li><li>Stop → “stop 7”</li><li>[image] (javascript:x)</li></ul>\
         <em>ci.org</em>",
    )]);
}

#[test]
fn hostile_cards_stay_text() {
    let data = "data:text/html;base64,AAAA";
    let card = |key: &str, value: &str| json!({ "attachments": [{ key: value }] });
    check(vec![
        (
            json!({ "attachments": [{ "title": "</strong><script>", "title_link": "javascript:x" }] }),
            "**</strong><script> (javascript:x)**",
            "<strong>&lt;/strong&gt;&lt;script&gt; (javascript:x)</strong>",
        ),
        (
            json!({ "attachments": [{ "author_name": "x", "author_link": data }] }),
            "x",
            "",
        ),
        (card("title_link", data), "[data]", ""),
        (card("image_url", data), "[image]", ""),
        (card("audio_url", "javascript:x"), "[sound]", ""),
        (card("video_url", "https://a.org/v"), "https://a.org/v", ""),
        (
            card("title", "@alice @all"),
            "**@alice @all**",
            "<strong>@alice @all</strong>",
        ),
        (card("author_name", "@alice"), "alice", ""),
    ]);
}

#[test]
fn what_apps_show_can_be_read() {
    let mrkdwn = |words: &str| json!({ "type": "mrkdwn", "text": words });
    let plain = |words: &str| json!({ "type": "plain_text", "text": words, "emoji": true });
    let button = |words: &str| json!({ "type": "button", "text": plain(words), "value": "v" });
    let blocks = json!([
        { "type": "header", "text": plain("Poll") },
        { "type": "section", "text": mrkdwn("what *now*"), "fields": [plain("a *b*")], "accessory": button("More") },
        { "type": "divider" },
        { "type": "context", "elements": [plain("by bob"), { "type": "image", "imageUrl": "https://a.org/i.png", "altText": "cat" }] },
        { "type": "image", "imageUrl": "data:x", "title": plain("a cat") },
        { "type": "actions", "elements": [
            button("Yes"),
            { "type": "button", "text": plain("Site"), "url": "https://a.org" },
            { "type": "static_select", "placeholder": plain("Pick"), "options": [{ "text": plain("one"), "value": "1" }, { "text": plain("two") }] },
            { "type": "linear_scale" },
        ] },
        { "type": "input", "label": plain("Name"), "element": { "type": "plain_text_input", "placeholder": plain("yours") }, "hint": plain("short") },
        { "type": "callout", "title": plain("Beware"), "text": plain("of it") },
        { "type": "conditional", "render": [{ "type": "section", "text": plain("inside") }] },
        { "type": "unheard_of" },
        5,
    ]);
    check(vec![(
        json!({ "blocks": blocks }),
        "**Poll**\nwhat **now**\na *b*\n- More\n---\nby bob\n[cat](https://a.org/i.png)\n[image: a cat]\n\
         - Yes\n- [Site](https://a.org)\n- Pick: one, two\n- (something that only Rocket.Chat can show)\n\
         **Name**\n- yours\nshort\n**Beware**\nof it\ninside\n\
         (something that only Rocket.Chat can show)\n(something that only Rocket.Chat can show)",
        "<strong>Poll</strong><br>what <strong>now</strong><br>a *b*<ul><li>More</li></ul><hr>by bob<br>\
         <a href=\"https://a.org/i.png\">cat</a><br>[image: a cat]\
         <ul><li>Yes</li><li><a href=\"https://a.org\">Site</a></li><li>Pick: one, two</li>\
         <li>(something that only Rocket.Chat can show)</li></ul>\
         <strong>Name</strong><ul><li>yours</li></ul>short<br><strong>Beware</strong><br>of it<br>inside<br>\
         (something that only Rocket.Chat can show)<br>(something that only Rocket.Chat can show)",
    )]);
    let mut deep = json!({ "type": "section", "text": "bottom" });
    for _ in 0..50 {
        deep = json!({ "type": "conditional", "render": [deep] });
    }
    assert!(
        said(&json!({ "blocks": [deep] }))
            .body
            .starts_with("(something")
    );
}

#[test]
fn custom_fields_are_said_where_they_hold_anything() {
    let fields = json!({ "ticket": 42, "who": "<bob>", "empty": "", "none": null, "list": [], "more": { "a": [1] } });
    check(vec![
        (
            json!({ "msg": "x", "customFields": fields }),
            "x\nmore: {\"a\":[1]}\nticket: 42\nwho: <bob>",
            "",
        ),
        (json!({ "msg": "x", "customFields": {} }), "x", ""),
        (json!({ "msg": "x", "customFields": "odd" }), "x", ""),
    ]);
}

#[test]
fn only_the_text_itself_mentions_people() {
    let rendered = said(&json!({ "msg": "@alice @all" }));
    assert_eq!(rendered.mentions, ["@rc_alice:example.org"]);
    assert!(rendered.mentions_room);
    let rendered = said(&json!({ "attachments": [{ "text": "@alice @all" }] }));
    assert!(rendered.mentions.is_empty() && !rendered.mentions_room);
    assert_eq!(rendered.body, "Alice Liddell @all");
}

#[test]
fn links_of_quotes_that_are_shown_are_left_out() {
    let quote = |id: &str| link(&format!("https://c.org/channel/x?a=1&msg={id}"), " ");
    let spoken = |content: &str| p(vec![text(content)]);
    let lines = |tree: Vec<Block>| {
        let shown = [RocketMessageId::new("A"), RocketMessageId::new("B")];
        say(&message(&json!({})), &tree, &Town, &parse, &shown, &[]).body
    };
    let foreign = "https://c.org/channel/x?a=1&msg=C";
    let table = [
        (vec![p(vec![quote("A")]), spoken("yes")], "yes".to_owned()),
        (vec![p(vec![quote("A"), text(" yes")])], "yes".to_owned()),
        (
            vec![p(vec![quote("A"), quote("B")]), spoken("yes")],
            "yes".to_owned(),
        ),
        (
            vec![
                p(vec![quote("A")]),
                p(vec![quote("B")]),
                Block::LineBreak,
                spoken("  yes"),
            ],
            "  yes".to_owned(),
        ),
        (vec![p(vec![quote("A")])], NOTHING.to_owned()),
        (
            vec![p(vec![quote("C")]), spoken("yes")],
            format!("{foreign}\nyes"),
        ),
        (vec![p(vec![quote("A"), quote("C")])], foreign.to_owned()),
        (vec![Block::LineBreak, spoken(" x")], "\n x".to_owned()),
        (
            vec![p(vec![link(foreign, "see this")])],
            format!("[see this]({foreign})"),
        ),
        (
            vec![spoken("yes"), p(vec![quote("A")])],
            "yes\nhttps://c.org/channel/x?a=1&msg=A".to_owned(),
        ),
    ];
    for (tree, body) in table {
        assert_eq!(lines(tree.clone()), body, "{tree:?}");
    }
}

#[test]
fn quotes_are_not_attached() {
    let quote = json!({
        "text": "the *original* @alice @all", "author_name": "ali",
        "message_link": "https://c.org/channel/x?msg=A",
    });
    let message = message(&json!({ "msg": "yes", "attachments": [quote] }));
    assert_eq!(say(&message, &[], &Town, &parse, &[], &[]).body, "yes");
}

#[test]
fn a_message_can_be_under_another_name() {
    let rendered = said(&json!({ "msg": "done" })).under_name("CI <b>\u{202e}");
    assert_eq!(
        (rendered.body.as_str(), rendered.html),
        ("CI <b>: done", None)
    );
    let rendered = said(&json!({ "msg": "*done*" })).under_name("CI <b>");
    assert_eq!(rendered.body, "CI <b>: **done**");
    assert_eq!(
        rendered.html.as_deref(),
        Some("<strong>CI &lt;b&gt;:</strong> <strong>done</strong>")
    );
    assert_eq!(Rendered::of_text("x").under_name(" ").body, "x");
}

/// Documents as nobody should send them, with words that are recognised.
fn hostile() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!("*word* </a></strong><script>")),
        Just(json!("https://a.org/\"><b>")),
        Just(json!("javascript:word")),
        Just(json!("mrkdwn")),
        Just(json!("section")),
        Just(json!("actions")),
        Just(json!("image")),
        Just(json!("button")),
        Just(json!(5)),
        Just(Value::Null),
    ];
    let keys = prop::sample::select(vec![
        "type",
        "text",
        "title",
        "title_link",
        "author_name",
        "author_link",
        "pretext",
        "value",
        "fields",
        "actions",
        "url",
        "imageUrl",
        "image_url",
        "elements",
        "render",
        "options",
        "label",
        "footer",
        "element",
        "accessory",
        "msg",
    ]);
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_attached_breaks_out(
        attachments in prop::collection::vec(hostile(), 0..3),
        blocks in prop::collection::vec(hostile(), 0..3),
        fields in hostile(),
        alias in "\\PC{0,8}",
    ) {
        let message = message(&json!({
            "msg": "hi", "attachments": attachments, "blocks": blocks, "customFields": fields,
        }));
        let whole = say(&message, &[], &Town, &parse, &[], &[]).under_name(&alias);
        prop_assert!(whole.body.contains("hi"));
        let html = whole.html.unwrap_or_default();
        prop_assert_eq!(disallowed_in(&html), None, "{}", html);
    }
}
