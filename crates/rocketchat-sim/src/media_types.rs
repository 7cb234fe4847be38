//! Media types and endings of file names, as far as the server's decisions depend on them.

/// Ending and type; of several endings of a type the first is its own.
const TABLE: &[(&str, &str)] = &[
    ("txt", "text/plain"),
    ("log", "text/plain"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("md", "text/markdown"),
    ("ics", "text/calendar"),
    ("js", "application/javascript"),
    ("json", "application/json"),
    ("xml", "application/xml"),
    ("pdf", "application/pdf"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("doc", "application/msword"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("png", "image/png"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("heif", "image/heif"),
    ("heic", "image/heic"),
    ("bmp", "image/bmp"),
    ("tiff", "image/tiff"),
    ("svg", "image/svg+xml"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("oga", "audio/ogg"),
    ("wav", "audio/wav"),
    ("wav", "audio/x-wav"),
    ("m4a", "audio/mp4"),
    ("flac", "audio/flac"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("mov", "video/quicktime"),
    ("mkv", "video/x-matroska"),
    ("bin", "application/octet-stream"),
];

/// The ending of a name, lower-case; empty when there is none.
pub fn ending(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((_, ending)) => ending.to_lowercase(),
        None => String::new(),
    }
}

/// The type that a name's ending stands for.
pub fn of_name(name: &str) -> Option<&'static str> {
    let ending = ending(name);
    TABLE
        .iter()
        .find(|(one, _)| *one == ending)
        .map(|(_, kind)| *kind)
}

/// The ending that a type has by itself.
pub fn ending_of(kind: &str) -> Option<&'static str> {
    TABLE
        .iter()
        .find(|(_, one)| *one == kind)
        .map(|(ending, _)| *ending)
}

/// Which type the server believes (facts 5.1, capture 40): the declared one, unless it says nothing
/// or the name's ending is one of the same kind of file.
pub fn believed(declared: &str, name: &str) -> String {
    let by_name = of_name(name);
    let agrees = TABLE
        .iter()
        .any(|(one, kind)| *kind == declared && *one == ending(name));
    match by_name {
        Some(kind) if agrees || declared == "application/octet-stream" => kind.to_owned(),
        _ => declared.to_owned(),
    }
}

/// The name under which a file is offered for download: with the ending of its type, if it has
/// another.
pub fn offered_name(name: &str, kind: &str) -> String {
    match ending_of(kind) {
        Some(own)
            if of_name(name) != Some(kind)
                && kind != "application/octet-stream"
                && ending(name) != own =>
        {
            format!("{name}.{own}")
        }
        _ => name.to_owned(),
    }
}

/// Whether answers of this type are sent compressed to who accepts it (capture 43).
pub fn compressible(kind: &str) -> bool {
    kind.starts_with("text/")
        || [
            "application/json",
            "application/javascript",
            "application/xml",
            "image/svg+xml",
        ]
        .contains(&kind)
}

fn encoded(text: &str, kept: &[u8]) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// JavaScript's `encodeURI`.
pub fn encode_uri(text: &str) -> String {
    encoded(text, b"-_.!~*'();,/?:@&=+$#")
}

/// JavaScript's `encodeURIComponent`.
pub fn encode_component(text: &str) -> String {
    encoded(text, b"-_.!~*'()")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_believed_as_recorded() {
        for (declared, name, believed_type) in [
            ("application/octet-stream", "small.png", "image/png"),
            ("image/jpeg", "small.png", "image/jpeg"),
            ("text/plain", "small.png", "text/plain"),
            ("audio/x-wav", "tone.wav", "audio/wav"),
            ("text/html", "small.png", "text/html"),
            ("application/octet-stream", "s.svg", "image/svg+xml"),
            ("text/plain", "passwd", "text/plain"),
        ] {
            assert_eq!(believed(declared, name), believed_type, "{declared} {name}");
        }
    }

    #[test]
    fn names_are_encoded_as_recorded() {
        assert_eq!(encode_uri("a b%20c+d&e#f?.txt"), "a%20b%2520c+d&e#f?.txt");
        assert_eq!(
            encode_component("a b%20c+d&e#f?.txt"),
            "a%20b%2520c%2Bd%26e%23f%3F.txt"
        );
        assert_eq!(offered_name("passwd", "text/plain"), "passwd.txt");
        assert_eq!(offered_name("tone.wav", "audio/wav"), "tone.wav");
    }
}
