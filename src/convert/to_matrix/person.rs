//! The display name of a ghost.

use super::safe;

/// How much of a name is shown, in characters; Synapse refuses more than 256.
const LONGEST: usize = 200;

/// A person of Rocket.Chat as Matrix names them: by their display name, else by their
/// user name; without what misleads, so that nobody looks like a Matrix id or turns
/// the text around. Empty when nothing of either can be seen.
pub fn shown_name(display_name: Option<&str>, username: &str) -> String {
    let names = [display_name.unwrap_or_default(), username];
    let seen = names.into_iter().map(|name| {
        let clean: String = safe::name(name).chars().take(LONGEST).collect();
        clean.trim_end().to_owned()
    });
    let mut seen = seen.filter(|name| !safe::is_blank(name));
    seen.next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::shown_name;

    #[test]
    fn a_ghost_is_called_as_its_person_wishes_and_like_nobody_else() {
        let table = [
            (Some("Carol Danvers"), "Carol Danvers"),
            (Some(" Ça\u{202e}rol\n\u{0}"), "Çarol"),
            (Some("@alice:example.org"), "alice:example.org"),
            (Some("\u{202e}@@alice:example.org"), "alice:example.org"),
            (Some("👩\u{200d}🚀 Carol"), "👩\u{200d}🚀 Carol"),
            (Some("\u{200d}\u{3164}"), "carol"),
            (Some("  "), "carol"),
            (Some(""), "carol"),
            (None, "carol"),
        ];
        for (name, shown) in table {
            assert_eq!(shown_name(name, "carol"), shown, "{name:?}");
        }
        assert_eq!(shown_name(Some(&"x".repeat(500)), "carol").len(), 200);
        assert_eq!(shown_name(None, "\u{200b}"), "");
    }
}
