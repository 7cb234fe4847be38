//! The tree that the server stores in `md`, for texts without markup: paragraphs of plain text and
//! mentions. For anything that might be markup there is no tree at all, which is what a server
//! without its parser stores too; a wrong tree would be worse.

use serde_json::{Value, json};

/// The tree of a text, or `None` when it is empty or might use markup.
pub fn parse(text: &str) -> Option<Value> {
    if text.is_empty() || !plain(text) {
        return None;
    }
    let blocks: Vec<Value> = text
        .split('\n')
        .map(|line| {
            if line.is_empty() {
                Some(json!({ "type": "LINE_BREAK" }))
            } else {
                paragraph(line)
            }
        })
        .collect::<Option<_>>()?;
    Some(Value::Array(blocks))
}

fn plain(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    characters.iter().enumerate().all(|(at, one)| match one {
        '*' | '_' | '~' | '`' | '[' | ']' | '<' | '>' | '\\' | '(' | ')' | '|' | '\r' => false,
        // Short codes, emoticons, addresses and times; a colon at the end of a word is harmless.
        ':' => {
            characters
                .get(at + 1)
                .is_none_or(|next| next.is_whitespace())
                && (at == 0 || characters[at - 1] != 'D')
        }
        '+' => !characters.get(at + 1).is_some_and(char::is_ascii_digit),
        // From here on come arrows, symbols and emoji, some of which are drawn as pictures.
        other => (*other as u32) < 0x2190,
    }) && text.split('\n').all(plain_start)
}

fn plain_start(line: &str) -> bool {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    !(line.starts_with("- ")
        || line.starts_with("# ")
        || line.starts_with("## ")
        || line.starts_with("### ")
        || line.starts_with("#### ")
        || (digits > 0 && line[digits..].starts_with(". ")))
}

fn name_character(one: char) -> bool {
    one.is_alphanumeric() || "-_.".contains(one)
}

fn paragraph(line: &str) -> Option<Value> {
    let characters: Vec<char> = line.chars().collect();
    let (mut inlines, mut plain, mut at) = (Vec::new(), String::new(), 0);
    while at < characters.len() {
        let one = characters[at];
        let before = at.checked_sub(1).map(|index| characters[index]);
        if (one == '@' || one == '#') && characters.get(at + 1).copied().is_some_and(name_character)
        {
            // After a letter it may be an e-mail address: leave the text alone.
            if before.is_some_and(|before| !before.is_whitespace()) {
                return None;
            }
            let mut end = at + 1;
            while end < characters.len() && name_character(characters[end]) {
                end += 1;
            }
            if characters.get(end) == Some(&'@') {
                return None;
            }
            let name: String = characters[at + 1..end].iter().collect();
            flush(&mut plain, &mut inlines)?;
            let kind = if one == '@' {
                "MENTION_USER"
            } else {
                "MENTION_CHANNEL"
            };
            inlines.push(json!({ "type": kind, "value": { "type": "PLAIN_TEXT", "value": name } }));
            at = end;
        } else {
            plain.push(one);
            at += 1;
        }
    }
    flush(&mut plain, &mut inlines)?;
    Some(json!({ "type": "PARAGRAPH", "value": inlines }))
}

/// Ends a run of plain text; `None` when something in it might be a domain name.
fn flush(plain: &mut String, inlines: &mut Vec<Value>) -> Option<()> {
    if plain.is_empty() {
        return Some(());
    }
    let characters: Vec<char> = plain.chars().collect();
    for window in characters.windows(3) {
        if window[0].is_alphanumeric() && window[1] == '.' && window[2].is_alphabetic() {
            return None;
        }
    }
    if plain.contains('@') {
        return None;
    }
    inlines.push(json!({ "type": "PLAIN_TEXT", "value": std::mem::take(plain) }));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_texts_and_mentions_have_a_tree() {
        assert_eq!(
            parse("three @bob"),
            Some(json!([{ "type": "PARAGRAPH", "value": [
                { "type": "PLAIN_TEXT", "value": "three " },
                { "type": "MENTION_USER", "value": { "type": "PLAIN_TEXT", "value": "bob" } },
            ] }]))
        );
        assert_eq!(
            parse("a\n\nb").map(|tree| tree.as_array().map(Vec::len)),
            Some(Some(3))
        );
    }

    #[test]
    fn possible_markup_has_none() {
        for text in [
            "",
            "*b*",
            "see Rocket.Chat",
            "a@b.de",
            ":smile:",
            "- item",
            "1. one",
            "https://x.y",
            "😀",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
