use proptest::prelude::*;

use super::*;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
const ZIP: &[u8] =
    b"PK\x03\x04\x14\0\x08\x08\x08\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\x09\0\0\0x.bin\0\0\0";
const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0\0\0\0\0\0\0";
const MP4: &[u8] = b"\0\0\0\x18ftypiso8\0\0\0\0iso8mp41";

fn utf16le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn utf16be(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

#[test]
fn the_bytes_say_what_a_file_is() {
    let table: [(&[u8], &str, &str, &str); 34] = [
        (PNG, "", "", "image/png"),
        (PNG, "text/html", "page.html", "image/png"),
        (PNG, "image/svg+xml", "x.svg", "image/png"),
        (
            b"\xff\xd8\xff\xe0\0\x10JFIF\0",
            "image/png",
            "x.png",
            "image/jpeg",
        ),
        (b"GIF89a\x01\0\x01\0\0\0\0", "", "", "image/gif"),
        (b"RIFF\x04\0\0\0WEBPVP8 ", "", "", "image/webp"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avif", "", "", "image/avif"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "", "", "image/heic"),
        (b"ID3\x04\0\0\0\0\0\x21\0\0\0\0", "", "", "audio/mpeg"),
        (
            b"OggS\0\x02\0\0\0\0",
            "audio/ogg; codecs=opus",
            "",
            "audio/ogg",
        ),
        (b"OggS\0\x02\0\0\0\0", "video/ogg", "", "video/ogg"),
        (b"RIFF\x04\0\0\0WAVEfmt ", "", "", "audio/wav"),
        (b"fLaC\0\0\0\x22", "", "", "audio/flac"),
        (MP4, "", "", "video/mp4"),
        (MP4, "audio/mp4", "voice.m4a", "audio/mp4"),
        (MP4, "", "voice.m4a", "audio/mp4"),
        (MP4, "image/png", "x.png", "video/mp4"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "", "", "video/quicktime"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "", "", "application/pdf"),
        (
            b"%PDF-1.7\n1 0 obj\n",
            "text/plain",
            "x.txt",
            "application/pdf",
        ),
        (ZIP, "", "", "application/zip"),
        (ZIP, "text/html", "x.html", "application/zip"),
        (
            ZIP,
            "application/vnd.oasis.opendocument.text",
            "",
            "application/vnd.oasis.opendocument.text",
        ),
        (
            ZIP,
            "application/octet-stream",
            "Budget.XLSX",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
        (OLE, "", "letter.doc", "application/msword"),
        (
            b"MZ\x90\0\x03\0\0\0",
            "image/png",
            "x.png",
            "application/vnd.microsoft.portable-executable",
        ),
        (b"BM stands for Benchmark", "", "", "text/plain"),
        (b"MZ is a postcode", "text/plain", "", "text/plain"),
        (b"a,b\n1,2\n", "text/csv", "", "text/csv"),
        (b"{\"a\":1}", "", "x.json", "application/json"),
        (b"hello", "text/html", "x.html", "text/plain"),
        (b"hello", "image/png", "x.png", "text/plain"),
        (b"alert(1)", "text/javascript", "x.js", "text/plain"),
        (b"\xfc\xb6er \xe4ltere Texte", "", "x.txt", "text/plain"),
    ];
    for (head, claimed, name, expected) in table {
        let claimed = Some(claimed).filter(|claimed| !claimed.is_empty());
        assert_eq!(
            of(head, claimed, name),
            expected,
            "{head:?} {claimed:?} {name}"
        );
    }
}

#[test]
fn what_the_bytes_do_not_tell_may_be_said_when_it_is_harmless() {
    let unknown = b"\x01\x02\x03\x04\0\0";
    let table = [
        ("", "", UNKNOWN),
        ("image/png", "x.png", UNKNOWN),
        ("image/svg+xml", "x.svg", UNKNOWN),
        ("text/html", "x.html", UNKNOWN),
        ("text/plain", "x.txt", UNKNOWN),
        ("application/xhtml+xml", "", UNKNOWN),
        ("application/x-shockwave-flash", "", UNKNOWN),
        ("application/pdf", "x.pdf", UNKNOWN),
        ("nonsense", "", UNKNOWN),
        ("a/b\r\nSet-Cookie: x", "", UNKNOWN),
        ("audio/mpeg", "", "audio/mpeg"),
        ("AUDIO/MPEG; rate=1", "", "audio/mpeg"),
        ("", "model.stl", "model/stl"),
        ("video/mp2t", "", "video/mp2t"),
        ("font/woff2", "", "font/woff2"),
    ];
    for (claimed, name, expected) in table {
        assert_eq!(
            of(unknown, Some(claimed), name),
            expected,
            "{claimed} {name}"
        );
    }
    assert_eq!(of(b"", Some("text/html"), "x.svg"), UNKNOWN);
    assert_eq!(of(b"", None, "x.txt"), "text/plain");
}

/// Documents that a browser would run, and what they are.
const DOCUMENTS: [(&str, &str); 24] = [
    (
        "<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
        "image/svg+xml",
    ),
    ("<SVG>", "image/svg+xml"),
    ("<svg:svg xmlns:svg=\"x\">", "image/svg+xml"),
    (
        "<?xml version=\"1.0\"?>\n<!-- a > b --><svg>",
        "image/svg+xml",
    ),
    ("<!-- one --><!-- two -->\n<svg>", "image/svg+xml"),
    (
        "<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"x\"><svg>",
        "image/svg+xml",
    ),
    (
        "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a \"<b>\">]><svg>",
        "image/svg+xml",
    ),
    (
        "<?xml version='1.0'?><?xml-stylesheet href='x'?><svg>",
        "image/svg+xml",
    ),
    ("<!doctype html>", "text/html"),
    ("<!DOCTYPE\n HTML>", "text/html"),
    ("<html>", "text/html"),
    ("<HTML\tlang=de>", "text/html"),
    ("<script>alert(1)</script>", "text/html"),
    ("<script/x>alert(1)</script>", "text/html"),
    ("<!-- hidden --><body onload=x>", "text/html"),
    ("<!--><script>x</script>-->", "text/html"),
    ("<!-- that never ends", "text/html"),
    ("<iframe src=x>", "text/html"),
    ("<img src=x onerror=y>", "text/html"),
    (
        "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>",
        "application/xhtml+xml",
    ),
    ("<?xml version='1.0'?><rss/>", "application/xml"),
    ("<?xml version='1.0'", "application/xml"),
    (
        "<?xml version='1.0'?><x:html xmlns:x='y'/>",
        "application/xhtml+xml",
    ),
    ("<!DOCTYPE x [<!ENTITY", "application/xml"),
];

#[test]
fn documents_are_known_whatever_they_are_called_and_however_they_begin() {
    for (text, expected) in DOCUMENTS {
        for before in ["", "  \r\n\t", "\u{feff}", "\u{feff}\n \u{feff}"] {
            let text = format!("{before}{text}");
            let claims = [None, Some("image/png"), Some("text/plain")];
            for (claimed, name) in claims.into_iter().zip(["", "x.png", "x.txt"]) {
                let as_claimed = |head: &[u8]| of(head, claimed, name);
                assert_eq!(as_claimed(text.as_bytes()), expected, "{text:?}");
                assert_eq!(
                    as_claimed(&utf16le(&format!("\u{feff}{text}"))),
                    expected,
                    "{text:?}"
                );
                assert_eq!(
                    as_claimed(&utf16be(&format!("\u{feff}{text}"))),
                    expected,
                    "{text:?}"
                );
                let utf32: Vec<u8> = format!("\u{feff}{text}")
                    .chars()
                    .flat_map(|c| u32::from(c).to_le_bytes())
                    .collect();
                assert_eq!(as_claimed(&utf32), expected, "{text:?}");
            }
        }
        assert_eq!(of(&utf16le(text), None, ""), expected, "{text:?}");
        assert_eq!(of(&utf16be(text), None, ""), expected, "{text:?}");
    }
}

#[test]
fn text_that_only_speaks_of_markup_is_text() {
    for text in [
        "a < b",
        "<3 you",
        "< svg>",
        "svg",
        "<notes on html>",
        "<?php echo 1;",
        "&lt;svg>",
    ] {
        assert_eq!(of(text.as_bytes(), None, "x.txt"), "text/plain", "{text}");
    }
}

#[test]
fn only_what_cannot_run_is_shown_inline() {
    for safe in table::SAFE {
        assert!(is_safe_inline(safe) && served_as(safe) == safe, "{safe}");
    }
    assert!(is_safe_inline("IMAGE/PNG; charset=x"));
    for unsafe_type in [
        "image/svg+xml",
        "text/html",
        "text/xml",
        "application/xml",
        "application/xhtml+xml",
        "application/pdf",
        "text/javascript",
        "text/css",
        "image/png\r\nX: y",
        "image",
        "",
    ] {
        assert!(!is_safe_inline(unsafe_type), "{unsafe_type}");
        assert_eq!(served_as(unsafe_type), UNKNOWN, "{unsafe_type}");
    }
    assert!(!is_safe_inline("text/plain"));
    assert_eq!(served_as("text/plain; charset=utf-8"), "text/plain");
}

#[test]
fn a_drawing_is_no_picture() {
    let table = [
        ("image/png", Shown::Image),
        ("image/heic", Shown::Image),
        ("image/svg+xml", Shown::File),
        ("IMAGE/SVG+XML; x=y", Shown::File),
        ("image/svg", Shown::File),
        ("image/x+xml", Shown::File),
        ("audio/ogg", Shown::Audio),
        ("video/webm", Shown::Video),
        ("text/html", Shown::File),
        ("", Shown::File),
    ];
    for (media_type, expected) in table {
        assert_eq!(shown(media_type), expected, "{media_type}");
    }
}

proptest! {
    /// Whatever is said of it, bytes come out as a type, and never as one that runs
    /// unless they are that.
    #[test]
    fn no_claim_makes_a_document(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        claimed in "(text|image|application|[a-z]{0,5})/(html|svg\\+xml|xhtml\\+xml|xml|javascript|[ -~]{0,9})",
        name in "[a-z]{0,5}\\.(html|svg|xml|js|[ -~]{0,5})",
    ) {
        let found = of(&bytes, Some(&claimed), &name);
        prop_assert_eq!(essence(&found), Some(found.clone()));
        prop_assert_eq!(&found, &of(&bytes, Some(&claimed), &name));
        let without_claim = of(&bytes, None, "");
        for document in ["text/html", "image/svg+xml", "application/xml", "application/xhtml+xml"] {
            prop_assert_eq!(found == document, without_claim == document);
        }
        prop_assert!(found != "text/javascript" && found != "application/javascript");
    }

    #[test]
    fn a_document_is_known_wherever_the_look_at_it_ends(
        which in 0..DOCUMENTS.len(),
        padding in "[ \t\r\n]{0,40}",
        rest in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let (text, expected) = DOCUMENTS[which];
        // What never ends would end in what follows.
        prop_assume!(text.ends_with('>'));
        let mut bytes = format!("{padding}{text}").into_bytes();
        bytes.extend(rest.iter().map(|byte| byte % 64 + 32));
        prop_assert_eq!(of(&bytes, Some("image/png"), "x.png"), expected);
    }
}
