//! The display name of a puppet.

use crate::convert::to_matrix::safe;

/// How much of a name is kept, in characters. The server sets no bound.
const LONGEST: usize = 120;

/// A display name in the form that Rocket.Chat takes. It refuses `<`, `>`, `\`, `/`
/// and a `%` that encodes nothing (6.14, "Name contains invalid characters"): their
/// wide forms stand for them. What misleads is left out. None when nothing of it can
/// be seen.
pub fn allowed_name(name: &str) -> Option<String> {
    let allowed: String = name
        .chars()
        .filter(|c| !safe::misleads(*c))
        .map(|c| match c {
            '<' => '＜',
            '>' => '＞',
            '\\' => '＼',
            '/' => '／',
            '%' => '％',
            c => c,
        })
        .skip_while(|c| c.is_whitespace())
        .take(LONGEST)
        .collect();
    let allowed = allowed.trim_end();
    (!safe::is_blank(allowed)).then(|| allowed.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::allowed_name;

    #[test]
    fn names_take_the_form_that_rocketchat_allows() {
        let table = [
            ("Dora Explora", Some("Dora Explora")),
            (" 100% <b>D/o\\ra</b> ", Some("100％ ＜b＞D／o＼ra＜／b＞")),
            ("%3C", Some("％3C")),
            ("Al\u{202e}ice\u{0}\n", Some("Alice")),
            ("\u{0}\n", None),
            ("\u{200d}\u{200b} ", None),
            ("", None),
        ];
        for (name, allowed) in table {
            assert_eq!(allowed_name(name).as_deref(), allowed, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_rocketchat_refuses_is_left(name in "\\PC{0,200}") {
            if let Some(allowed) = allowed_name(&name) {
                prop_assert!(!allowed.contains(['<', '>', '\\', '/', '%']));
                prop_assert!(!allowed.trim().is_empty() && allowed.chars().count() <= 120);
            }
        }
    }
}
