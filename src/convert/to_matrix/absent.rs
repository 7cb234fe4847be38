//! What stands on Matrix in place of a file of Rocket.Chat.

use super::rendered::html_of_text;
use super::{Rendered, safe};
use crate::convert::absent::Absent;

/// What people call the other side.
const THERE: &str = "the Matrix homeserver";

/// The words in place of a file that is not on Matrix: its name, size and type, why it is
/// not there, and where it can be had instead. The caption is not among them.
pub fn absent(file: &Absent<'_>) -> Rendered {
    let name = match safe::file_name(file.name) {
        name if name.is_empty() => "file".to_owned(),
        name => name,
    };
    let facts = match file.facts() {
        facts if facts.is_empty() => facts,
        facts => format!(" ({facts})"),
    };
    let reason = file.reason(THERE);
    let mut body = format!("[file: {name}{facts}]\n{reason}");
    // A type has no character that means something in HTML but `&`.
    let facts_html = facts.replace('&', "&amp;");
    let (mut shown, mut last) = (html_of_text(&name), html_of_text(&reason));
    if let Some((link, until)) = file.link {
        let day = Absent::last_day(until);
        body.push_str(&format!(" Until {day} it can be downloaded here: {link}"));
        shown = format!("<a href=\"{}\">{shown}</a>", safe::attribute(link.as_str()));
        last.push_str(&format!(" Until {day} it can be downloaded by this link."));
    }
    Rendered {
        html: Some(format!("[file: {shown}{facts_html}]<br>{last}")),
        ..Rendered::of_text(&body)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use url::Url;

    use super::*;
    use crate::convert::absent::Why;

    const UNTIL: i64 = 1_795_203_457_000;

    #[test]
    fn a_file_that_is_not_there_is_named_explained_and_linked_to() {
        let link = Url::parse("https://x.org/files/v1/a/1/s/r&d%20%3C.pdf").unwrap();
        let file = Absent {
            name: "r&d <.pdf",
            media_type: "application/pdf",
            size: Some(104_857_600),
            why: Why::TooLarge(Some(52_428_800)),
            link: Some((&link, UNTIL)),
        };
        let words = absent(&file);
        assert_eq!(
            words.body,
            "[file: r&d <.pdf (100 MiB, application/pdf)]\n\
             It is too large for the Matrix homeserver, which takes files of up to 50 MiB. \
             Until 2026-11-20 it can be downloaded here: \
             https://x.org/files/v1/a/1/s/r&d%20%3C.pdf"
        );
        assert_eq!(
            words.html.unwrap(),
            "[file: <a href=\"https://x.org/files/v1/a/1/s/r&amp;d%20%3C.pdf\">r&amp;d &lt;.pdf</a> \
             (100 MiB, application/pdf)]<br>\
             It is too large for the Matrix homeserver, which takes files of up to 50 MiB. \
             Until 2026-11-20 it can be downloaded by this link."
        );
    }

    #[test]
    fn without_a_link_it_is_named_and_explained() {
        let words = absent(&Absent {
            name: "\u{202e}",
            media_type: "application/octet-stream",
            size: None,
            why: Why::Other("Nobody knows why <it> is gone."),
            link: None,
        });
        assert_eq!(words.body, "[file: file]\nNobody knows why <it> is gone.");
        assert_eq!(
            words.html.unwrap(),
            "[file: file]<br>Nobody knows why &lt;it&gt; is gone."
        );
    }
}
