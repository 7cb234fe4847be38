//! Held to what the server was seen to take (recordings 17 and 45) and to the list's own sums.

use rocketchat_emoji::{entries, is_known, short_code, unicode, without_tone};

const SELECTOR: char = '\u{FE0F}';

#[test]
fn the_list_is_the_servers() {
    let mut emoji = 0;
    let mut names = 0;
    for (_, _, aliases) in entries() {
        emoji += 1;
        names += 1 + aliases.count();
    }
    // emojione's own, and the fifteen that Rocket.Chat adds.
    assert_eq!(emoji, 2812 + 15);
    assert_eq!(names, 4263 + 15);
}

#[test]
fn every_name_finds_its_emoji_and_every_emoji_its_first_name() {
    for (emoji, name, aliases) in entries() {
        assert_eq!(unicode(name), Some(emoji), "{name}");
        assert_eq!(short_code(emoji), Some(name), "{emoji}");
        assert!(is_known(name), "{name}");
        for alias in aliases {
            assert_eq!(unicode(alias), Some(emoji), "{alias}");
            assert!(is_known(alias), "{alias}");
        }
    }
}

#[test]
fn variation_selectors_make_no_difference() {
    for (emoji, name, _) in entries() {
        let without: String = emoji.chars().filter(|c| *c != SELECTOR).collect();
        assert_eq!(short_code(&without), Some(name), "{emoji} without");
        let everywhere: String = without.chars().flat_map(|c| [c, SELECTOR]).collect();
        assert_eq!(short_code(&everywhere), Some(name), "{emoji} everywhere");
    }
}

#[test]
fn what_is_given_out_is_fully_qualified() {
    assert_eq!(unicode("heart"), Some("\u{2764}\u{FE0F}"));
    assert_eq!(unicode("one"), Some("1\u{FE0F}\u{20E3}"));
    assert_eq!(unicode("tm"), Some("\u{2122}\u{FE0F}"));
    assert_eq!(unicode("digit_one"), Some("1\u{FE0F}"));
    assert_eq!(
        unicode("rainbow_flag"),
        Some("\u{1F3F3}\u{FE0F}\u{200D}\u{1F308}")
    );
    assert_eq!(
        unicode("couple_mm"),
        Some("\u{1F468}\u{200D}\u{2764}\u{FE0F}\u{200D}\u{1F468}")
    );
    assert_eq!(unicode("thumbsup"), Some("\u{1F44D}"), "needs none");
}

#[test]
fn the_kinds_of_sequences() {
    let table = [
        ("👍", "thumbsup"),
        ("👍🏽", "thumbsup_tone3"),
        ("🇺🇸", "flag_us"),
        (
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            "england",
        ),
        ("5\u{FE0F}\u{20E3}", "five"),
        ("#\u{20E3}", "hash"),
        ("👨\u{200D}👩\u{200D}👧\u{200D}👦", "family_mwgb"),
        ("👩🏿\u{200D}🚀", "woman_astronaut_tone5"),
        ("👱🏻\u{200D}♂", "blond-haired_man_tone1"),
        ("☺", "relaxed"),
        ("🇦", "regional_indicator_a"),
        ("🏽", "tone3"),
        ("*", "asterisk_symbol"),
    ];
    for (emoji, name) in table {
        assert_eq!(short_code(emoji), Some(name), "{emoji}");
    }
}

#[test]
fn several_names_mean_one_emoji() {
    assert_eq!(unicode("+1"), unicode("thumbsup"));
    assert_eq!(unicode("us"), unicode("flag_us"));
    assert_eq!(unicode("+1_tone3"), Some("👍🏽"));
}

#[test]
fn what_the_server_does_not_know() {
    // Newer than Unicode 11, so newer than the list.
    for emoji in ["🫡", "🥱", "🫠", "🤝🏽", "🧑\u{200D}🦰"] {
        assert_eq!(short_code(emoji), None, "{emoji}");
    }
    for not_one_emoji in [
        "",
        "a",
        "👍👍",
        "👍 ",
        ":thumbsup:",
        "\u{FE0F}",
        "❤\u{FE0E}",
    ] {
        assert_eq!(short_code(not_one_emoji), None, "{not_one_emoji:?}");
    }
    for name in [
        "",
        "SMILE",
        ":smile:",
        "melting_face",
        "yawning_face",
        "//",
        "👍",
    ] {
        assert_eq!(unicode(name), None, "{name:?}");
        assert!(!is_known(name), "{name:?}");
    }
    assert_eq!(short_code(&"\u{FE0F}".repeat(1_000_000)), None);
}

#[test]
fn tones_can_be_left_out() {
    assert_eq!(without_tone("🤝🏽").as_deref(), Some("🤝"));
    assert_eq!(short_code("🤝"), Some("handshake"));
    assert_eq!(
        without_tone("👩🏽\u{200D}❤\u{FE0F}\u{200D}👨🏿").as_deref(),
        unicode("couple_with_heart_woman_man")
    );
    assert_eq!(without_tone("👍"), None, "nothing to leave out");
    assert_eq!(without_tone("🏽"), None, "nothing would be left");
    assert_eq!(without_tone(&"🏽".repeat(1_000_000)), None);
}
