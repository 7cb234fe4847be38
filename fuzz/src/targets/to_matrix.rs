//! Messages of Rocket.Chat in the form of Matrix.

use matrix_appservice_rocketchat::convert::to_matrix::{
    Channel, Directory, LEAST_PIECE, Person, Rendered, bytes_in_json, files_of, fit, render, say,
    split_text,
};
use matrix_appservice_rocketchat::rocketchat::documents::Message;
use rocketchat_markdown::{Block, Options, parse, tree_from_json};
use ruma::{OwnedMxcUri, user_id};

use super::strict_html::assert_allowed;
use super::{is_within, letters, ways_to_read};

/// What a body or HTML may need for each byte of the source: a short name becomes an
/// address, a line in quotes has a mark for each.
const MOST_FOR_A_BYTE: usize = 250;

/// A message of any content, a tree and a text become what Matrix allows, of a size in
/// proportion, with few mentions; what is too long for an event is divided without loss.
pub(crate) fn check(input: &[u8]) {
    let source = String::from_utf8_lossy(input);
    if let Ok(message) = serde_json::from_slice::<Message>(input) {
        whole_message(&message, source.len());
        return;
    }
    if let Ok(stored) = serde_json::from_slice(input)
        && let Some(tree) = tree_from_json(&stored)
    {
        hold(&render(&tree, &Town), source.len());
        return;
    }
    for options in ways_to_read() {
        hold(&render(&parse(&source, &options), &Town), source.len());
    }
    for most in [0, 300, 1000] {
        let pieces = split_text(&source, most);
        for piece in &pieces {
            assert!(bytes_in_json(piece) <= most.max(LEAST_PIECE), "{piece:?}");
        }
        let divided = letters(&pieces.concat());
        assert!(is_within(&letters(&source), &divided), "{pieces:?}");
        // A language behind a fence is said again where the fence is opened again.
        if !source.contains("```") {
            assert_eq!(letters(&source), divided);
        }
    }
}

fn whole_message(message: &Message, bytes: usize) {
    let parse = |text: &str| parse(text, &Options::default());
    let blocks: Vec<Block> = message
        .md
        .as_ref()
        .and_then(tree_from_json)
        .unwrap_or_default();
    let files = files_of(message);
    hold(&say(message, &blocks, &Town, &parse, &[], &files), bytes);
    for file in &files {
        assert!(!file.name.is_empty() && !file.name.contains(['/', '\\', '\n']));
        hold(&file.caption(message, &Town, &parse), bytes);
    }
    let said = say(message, &blocks, &Town, &parse, &[], &[]);
    assert!(!said.is_blank(), "a message arrives, whatever is in it");
    hold(&said, bytes);
    hold(
        &said.under_name(message.alias.as_deref().unwrap_or("x")),
        bytes,
    );
}

fn hold(rendered: &Rendered, bytes: usize) {
    let most = MOST_FOR_A_BYTE * bytes + 2_000;
    assert!(rendered.body.len() <= most, "{} bytes", rendered.body.len());
    assert!(rendered.mentions.len() <= 200);
    if let Some(html) = &rendered.html {
        assert!(html.len() <= most, "{} bytes", html.len());
        assert_allowed(html);
    }
    let fitted = fit(rendered.clone(), 500);
    assert_eq!(fitted.body, rendered.body);
    if let Some(html) = &fitted.html {
        assert!(bytes_in_json(html) + bytes_in_json(&fitted.body) <= 500);
    }
}

/// Knows `alice`, somebody with a hostile name, two rooms and some emoji; `@all` calls
/// everybody.
struct Town;

impl Directory for Town {
    fn user(&self, username: &str) -> Option<Person> {
        let (user_id, name) = match username {
            "alice" => (user_id!("@rc_alice:example.org"), "Alice Liddell"),
            "bob" => (user_id!("@rc_a/\"<b>&?#:example.org"), "</a><b x=\"y\">'&"),
            "carol" => (user_id!("@rc_c:example.org"), "\u{202e}ecila\u{0}\n@room"),
            _ => return None,
        };
        Some(Person {
            user_id: user_id.to_owned(),
            name: name.to_owned(),
        })
    }

    fn calls_everybody(&self, name: &str) -> bool {
        name == "all"
    }

    fn channel(&self, name: &str) -> Option<Channel> {
        let (alias_or_id, via) = match name {
            "general" => ("#rc_general:example.org", vec![]),
            "secret" => ("!abc:example.org", vec!["example.org".try_into().ok()?]),
            _ => return None,
        };
        Some(Channel {
            alias_or_id: alias_or_id.try_into().ok()?,
            via,
            name: format!("{name} <talk>"),
        })
    }

    fn custom_emoji(&self, short_code: &str) -> Option<OwnedMxcUri> {
        match short_code {
            "parrot" => Some("mxc://example.org/parrot".into()),
            "broken" => Some("https://example.org/\"><script>".into()),
            _ => None,
        }
    }

    fn emoji(&self, short_code: &str) -> Option<String> {
        (short_code == "smile").then(|| "😄".to_owned())
    }
}
