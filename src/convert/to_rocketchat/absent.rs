//! What stands on Rocket.Chat in place of a file of Matrix.

use super::line::{Line, Piece, Style, What, on_one_line};
use super::{clean, finished, line_of};
use crate::convert::absent::Absent;

/// What people call the other side.
const THERE: &str = "Rocket.Chat";

/// The words in place of a file that is not on Rocket.Chat, in its dialect: the file's
/// name, size and type, why it is not there, and where it can be had instead. The caption
/// is not among them.
pub fn absent(file: &Absent<'_>) -> String {
    let piece = |what| Piece {
        what,
        style: Style::PLAIN,
    };
    let name = match on_one_line(&clean(file.name)) {
        name if name.trim().is_empty() => "file".to_owned(),
        name => name,
    };
    let facts = match file.facts() {
        facts if facts.is_empty() => "]".to_owned(),
        facts => format!(" ({facts})]"),
    };
    let mut reason = vec![piece(What::Name(on_one_line(&file.reason(THERE))))];
    if let Some((link, until)) = file.link {
        let day = Absent::last_day(until);
        reason.push(Piece::text(format!(
            " Until {day} it can be downloaded here: "
        )));
        reason.push(piece(What::Url(link.to_string())));
    }
    let lines: [Line; 2] = [
        line_of(vec![
            Piece::text("[file: "),
            piece(What::Name(name)),
            piece(What::Name(facts)),
        ]),
        line_of(reason),
    ];
    // There is always something in it.
    finished(&lines).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rocketchat_markdown::{Block, Inline, Options, parse};
    use url::Url;

    use super::*;
    use crate::convert::absent::Why;

    const UNTIL: i64 = 1_795_203_457_000;

    fn shown(name: &str, link: &Url) -> String {
        absent(&Absent {
            name,
            media_type: "video/mp4",
            size: Some(314_572_800),
            why: Why::TooLarge(Some(104_857_599)),
            link: Some((link, UNTIL)),
        })
    }

    #[test]
    fn a_file_that_is_not_there_is_named_explained_and_linked_to() {
        let link = Url::parse("https://files.example.org/files/v1/a_b-c/1/s_s/film.mp4").unwrap();
        assert_eq!(
            shown("film.mp4", &link),
            "[file: film.mp4 (300 MiB, video/mp4)]\n\
             It is too large for Rocket\\.Chat, which takes files of up to 99\\.9 MiB. \
             Until 2026-11-20 it can be downloaded here: \
             https://files.example.org/files/v1/a_b-c/1/s_s/film.mp4"
        );
    }

    #[test]
    fn without_a_link_it_is_named_and_explained() {
        for (why, reason) in [
            (Why::Type, "Rocket.Chat does not take files of this type."),
            (Why::NoFiles, "Rocket.Chat does not take files."),
            (
                Why::NoFilesInDirect,
                "Rocket.Chat does not take files in direct messages.",
            ),
            (
                Why::Empty,
                "It is empty, and Rocket.Chat takes no empty files.",
            ),
            (Why::TooLarge(None), "It is too large for Rocket.Chat."),
        ] {
            let words = absent(&Absent {
                name: "",
                media_type: "",
                size: None,
                why,
                link: None,
            });
            let plain = words.replace(['\u{200b}', '\\'], "");
            assert_eq!(plain, format!("[file: file]\n{reason}"));
        }
    }

    /// Whatever is in it, the address is one link that leads there.
    #[test]
    fn the_link_is_read_as_a_link() {
        for (host, name) in [
            ("https://files.example.org", "a_b*c~d(e)[f].mp4"),
            ("https://files.example.org", "Füße 1.mp4"),
            ("http://bridge.intra:29330", "x.mp4"),
            ("http://127.0.0.1:29330", "x.mp4"),
            ("http://localhost:29330", "x.mp4"),
        ] {
            let mut link = Url::parse(host).unwrap();
            link.path_segments_mut()
                .unwrap()
                .extend(["files", "v1", "_a_", "1", "-s_", name]);
            let words = shown(name, &link);
            let mut links = Vec::new();
            for block in parse(&words, &Options::default()) {
                if let Block::Paragraph(content) = block {
                    links.extend(content.into_iter().filter_map(|inline| match inline {
                        Inline::Link { src, .. } => Some(src),
                        _ => None,
                    }));
                }
            }
            // Parentheses are encoded, which leads to the same.
            let links: Vec<_> = links
                .iter()
                .map(|link| link.replace("%28", "(").replace("%29", ")"))
                .collect();
            assert_eq!(links, [link.as_str()], "{words}");
        }
    }
}
