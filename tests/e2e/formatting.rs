//! Formatting: what people see on the other side is what was meant, and text that
//! only looks like markup stays text.

use anyhow::Result;
use serde_json::Value;
use testbed::html_content;

use crate::{Direct, General, in_direct, in_general};

/// Typed on Rocket.Chat; the plain body and the HTML on Matrix, `""` for none.
const FROM_ROCKETCHAT: [(&str, &str, &str); 9] = [
    (
        "*bold* _italic_ ~struck~ `a < b`",
        "**bold** *italic* ~~struck~~ `a < b`",
        "<strong>bold</strong> <em>italic</em> <del>struck</del> <code>a &lt; b</code>",
    ),
    (
        "- one\n- *two*",
        "- one\n- **two**",
        "<ul><li>one</li><li><strong>two</strong></li></ul>",
    ),
    (
        "1. one\n2. two",
        "1. one\n2. two",
        "<ol><li>one</li><li>two</li></ol>",
    ),
    (
        "> wise\nindeed",
        "> wise\nindeed",
        "<blockquote>wise</blockquote>indeed",
    ),
    (
        "```rust\nlet a = \"<b>\";\n```",
        "```rust\nlet a = \"<b>\";\n```",
        "<pre><code class=\"language-rust\">let a = &quot;&lt;b&gt;&quot;;\n</code></pre>",
    ),
    (
        "see [the site](https://example.org/x?a=1&b=2)",
        "see [the site](https://example.org/x?a=1&b=2)",
        "see <a href=\"https://example.org/x?a=1&amp;b=2\">the site</a>",
    ),
    ("well :thumbsup:", "well 👍", ""),
    // No markup of this dialect.
    (
        "<b>no</b> <script>alert(1)</script> &amp; 1 < 2 **",
        "<b>no</b> <script>alert(1)</script> &amp; 1 < 2 **",
        "",
    ),
    ("snake_case_name ~/x 2 * 3", "snake_case_name ~/x 2 * 3", ""),
];

#[tokio::test]
async fn formatting_of_rocketchat_is_seen_on_matrix_with_and_without_its_tree() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    for without_tree in [false, true] {
        world
            .rocketchat
            .control()
            .leave_out_md(without_tree)
            .await?;
        let mark = format!("without tree: {without_tree}");
        carol.send(&channel, &mark).await?;
        for (typed, ..) in FROM_ROCKETCHAT {
            carol.send(&channel, typed).await?;
        }
        let documents = carol.room_messages(&channel).await?;
        let last = documents.last().expect("what was just sent");
        assert_eq!(last.document.get("md").is_none(), without_tree);
        let seen = alice
            .wait_until(&room, "all of them", |events| {
                let messages: Vec<_> = events.iter().filter(|event| event.is_message()).collect();
                let from = messages.iter().position(|event| event.body() == mark)? + 1;
                let seen = messages.get(from..from + FROM_ROCKETCHAT.len())?;
                Some(
                    seen.iter()
                        .map(|event| (*event).clone())
                        .collect::<Vec<_>>(),
                )
            })
            .await?;
        for (event, (typed, body, html)) in seen.iter().zip(FROM_ROCKETCHAT) {
            assert_eq!(event.body(), body, "{typed:?}, {mark}");
            assert_eq!(event.formatted_body(), html, "{typed:?}, {mark}");
        }
    }
    Ok(())
}

/// HTML on Matrix, and the text on Rocket.Chat.
const FROM_MATRIX: [(&str, &str); 9] = [
    (
        "<b>bold</b> <em>italic</em> <del>struck</del> <code>a &lt; b</code>",
        "*bold* _italic_ ~struck~ `a < b`",
    ),
    ("<ul><li>one</li><li><b>two</b></li></ul>", "- one\n- *two*"),
    ("<blockquote>wise</blockquote>indeed", "> wise\n\nindeed"),
    (
        "<pre><code class=\"language-rust\">let a = &quot;&lt;b&gt;&quot;;\n</code></pre>",
        "```rust\nlet a = \"<b>\";\n```",
    ),
    (
        "see <a href=\"https://example.org/x\">the site</a>",
        "see [the site](https://example.org/x)",
    ),
    // What the dialect has no form for.
    (
        "<u>under</u> <font color=\"red\">red</font> y<sup>2</sup>",
        "under red y²",
    ),
    (
        "<span data-mx-spoiler=\"the end\">he dies</span>",
        "[spoiler: the end] he dies",
    ),
    (
        "<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table>",
        "*A* | *B*\n1 | 2",
    ),
    (
        "<details><summary>more</summary>text</details><script>alert(1)</script>",
        "*more*\ntext",
    ),
];

/// What people type that means nothing, although it looks as if it did.
const TYPED: [&str; 8] = [
    "*no bold* _no italics_ ~no strike~ `no code`",
    "- no list\n1. no list\n> no quote\n# no heading\n```\nno code",
    "[no link](https://example.org) ![no image](x.png) <https://example.org|x>",
    "**x** __y__ ~~z~~ \\*w\\* ||v||",
    "<b>tag</b> &amp; \\(x^2\\) $y$ <t:1630360800:R>",
    "snake_case_name __init__.py a*b*c 2*3*4",
    "#general @carol @all @here color:#ff0000",
    "| a | b |\n|---|---|\n| 1 | 2 |",
];

/// The words of a tree, if it is text and nothing else: line by line, without what
/// nobody sees.
fn plain_words(tree: &Value) -> Option<String> {
    let lines = tree.as_array()?.iter().map(|block| {
        if block["type"] == "LINE_BREAK" {
            return Some(String::new());
        }
        let words = block["value"]
            .as_array()
            .filter(|_| block["type"] == "PARAGRAPH")?;
        let words = words.iter().map(|inline| match inline["type"].as_str()? {
            "PLAIN_TEXT" => inline["value"].as_str().map(str::to_owned),
            // Every client makes links of addresses; this one shows what was typed.
            "LINK" => inline["value"]["label"][0]["value"]
                .as_str()
                .map(str::to_owned),
            _ => None,
        });
        words.collect::<Option<String>>()
    });
    let lines = lines.collect::<Option<Vec<_>>>()?;
    Some(lines.join("\n").replace('\u{200b}', ""))
}

#[tokio::test]
async fn formatting_of_matrix_is_seen_on_rocketchat_and_text_stays_text() -> Result<()> {
    let General {
        world: _world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    for (html, _) in FROM_MATRIX {
        let content = html_content("unused", html);
        alice.send_event(&room, "m.room.message", content).await?;
    }
    for typed in TYPED {
        alice.send_text(&room, typed).await?;
    }
    let seen = carol
        .wait_until(&channel, "all of them", |documents| {
            let seen: Vec<_> = documents.iter().filter(|one| one.is_written()).collect();
            (seen.len() == FROM_MATRIX.len() + TYPED.len())
                .then(|| seen.into_iter().cloned().collect::<Vec<_>>())
        })
        .await?;
    let (formatted, typed) = seen.split_at(FROM_MATRIX.len());
    for (message, (html, text)) in formatted.iter().zip(FROM_MATRIX) {
        assert_eq!(message.text.replace('\u{200b}', ""), text, "{html}");
    }
    for (message, typed) in typed.iter().zip(TYPED) {
        let document = &message.document;
        assert_eq!(
            plain_words(&document["md"]).as_deref(),
            Some(typed),
            "{document:#}"
        );
        for called in ["mentions", "channels"] {
            assert_eq!(document[called], serde_json::json!([]), "{document:#}");
        }
    }
    // What came from there and goes back is said as it was.
    let event = alice.send_text(&room, "*once*").await?;
    let there = carol
        .wait_for_message(&channel, "the text", |message| {
            message.text.contains("once")
        })
        .await?;
    assert_eq!(
        plain_words(&there.document["md"]).as_deref(),
        Some("*once*")
    );
    let new = html_content("**twice**", "<strong>twice</strong>");
    alice
        .edit_content(&room, &event, new, testbed::mentions(&[]))
        .await?;
    carol.wait_for_text(&channel, "*twice*").await?;
    Ok(())
}

#[tokio::test]
async fn formatting_is_seen_in_a_direct_message_across_a_restart() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let content = html_content("unused", "<b>one</b>");
    let said = alice.send_event(&room, "m.room.message", content).await?;
    let there = carol.wait_for_text(&dm, "*one*").await?;
    let id = carol.send(&dm, "_two_").await?;
    let here = alice.wait_for_text(&room, "*two*").await?;
    assert_eq!(here.formatted_body(), "<em>two</em>");

    world.bridge.kill().await?;
    world.bridge.start()?;
    world.bridge.ready().await?;

    let new = html_content("unused", "<del>one</del> *");
    alice
        .edit_content(&room, &said, new, testbed::mentions(&[]))
        .await?;
    let edited = carol.wait_for_text(&dm, "~one~ \\*").await?;
    assert_eq!(edited.id, there.id);
    carol.edit(&dm, &id, "`two` <i>").await?;
    world
        .eventually("the edit", async || {
            let shown = alice.shown(&room, &here.event_id).await?;
            let html = shown["formatted_body"].as_str();
            Ok((html == Some("<code>two</code> &lt;i&gt;")).then_some(()))
        })
        .await?;
    Ok(())
}
