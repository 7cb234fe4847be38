//! Which types there are, what their names end with, and which of them count as what.

/// Formats that hold nothing to run.
pub(super) const SAFE: [&str; 14] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "audio/flac",
    "audio/mp4",
    "audio/webm",
    "video/mp4",
    "video/webm",
    "video/ogg",
];

/// Ends of names and their types. Of several ends the first is the usual one, and of
/// several types of one end the first is meant.
const EXTENSIONS: [(&str, &str); 91] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("bmp", "image/bmp"),
    ("tiff", "image/tiff"),
    ("tif", "image/tiff"),
    ("ico", "image/vnd.microsoft.icon"),
    ("svg", "image/svg+xml"),
    ("psd", "image/vnd.adobe.photoshop"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("oga", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("wav", "audio/wav"),
    ("flac", "audio/flac"),
    ("m4a", "audio/mp4"),
    ("m4b", "audio/mp4"),
    ("weba", "audio/webm"),
    ("aac", "audio/aac"),
    ("amr", "audio/amr"),
    ("mid", "audio/midi"),
    ("midi", "audio/midi"),
    ("mp4", "video/mp4"),
    ("m4v", "video/mp4"),
    ("webm", "video/webm"),
    ("ogv", "video/ogg"),
    ("mov", "video/quicktime"),
    ("mkv", "video/x-matroska"),
    ("avi", "video/x-msvideo"),
    ("wmv", "video/x-ms-wmv"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("ts", "video/mp2t"),
    ("3gp", "video/3gpp"),
    ("pdf", "application/pdf"),
    ("rtf", "application/rtf"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("tgz", "application/gzip"),
    ("bz2", "application/x-bzip2"),
    ("xz", "application/x-xz"),
    ("zst", "application/zstd"),
    ("7z", "application/x-7z-compressed"),
    ("rar", "application/vnd.rar"),
    ("tar", "application/x-tar"),
    ("epub", "application/epub+zip"),
    ("doc", "application/msword"),
    ("dot", "application/msword"),
    ("xls", "application/vnd.ms-excel"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("msg", "application/vnd.ms-outlook"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    (
        "dotx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.template",
    ),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    (
        "ppsx",
        "application/vnd.openxmlformats-officedocument.presentationml.slideshow",
    ),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("odg", "application/vnd.oasis.opendocument.graphics"),
    ("kmz", "application/vnd.google-earth.kmz"),
    ("3mf", "model/3mf"),
    ("stl", "model/stl"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
    ("txt", "text/plain"),
    ("log", "text/plain"),
    ("csv", "text/csv"),
    ("tsv", "text/tab-separated-values"),
    ("md", "text/markdown"),
    ("ics", "text/calendar"),
    ("vcf", "text/vcard"),
    ("vtt", "text/vtt"),
    ("srt", "application/x-subrip"),
    ("json", "application/json"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("toml", "application/toml"),
    ("sql", "application/sql"),
    ("diff", "text/x-diff"),
    ("patch", "text/x-diff"),
    ("sqlite", "application/vnd.sqlite3"),
    ("apk", "application/vnd.android.package-archive"),
    ("parquet", "application/vnd.apache.parquet"),
];

pub(super) fn type_of(extension: &str) -> Option<&'static str> {
    let found = EXTENSIONS.iter().find(|(known, _)| *known == extension);
    found.map(|(_, media_type)| *media_type)
}

pub(super) fn extension_of(media_type: &str) -> Option<&'static str> {
    let found = EXTENSIONS.iter().find(|(_, known)| *known == media_type);
    found.map(|(extension, _)| *extension)
}

/// A type under the name that is usual for it.
pub(super) fn usual(found: &'static str) -> &'static str {
    match found {
        "audio/m4a" => "audio/mp4",
        "audio/x-wav" => "audio/wav",
        "audio/x-flac" => "audio/flac",
        "audio/opus" => "audio/ogg",
        "video/x-m4v" => "video/mp4",
        "application/font-woff" => "font/woff",
        "application/font-sfnt" => "font/sfnt",
        found => found,
    }
}

/// Whether a hint only says more exactly what the bytes say.
pub(super) fn is_refinement(found: &str, hint: &str) -> bool {
    match found {
        "application/zip" => {
            hint.starts_with("application/vnd.openxmlformats-officedocument.")
                || hint.starts_with("application/vnd.oasis.opendocument.")
                || hint.starts_with("application/vnd.ms-") && hint.ends_with(".12")
                || matches!(
                    hint,
                    "application/epub+zip"
                        | "application/vnd.google-earth.kmz"
                        | "application/vnd.android.package-archive"
                        | "model/3mf"
                )
        }
        "application/x-ole-storage" => matches!(
            hint,
            "application/msword"
                | "application/vnd.ms-excel"
                | "application/vnd.ms-powerpoint"
                | "application/vnd.ms-outlook"
        ),
        // The container is the same with and without a picture.
        "video/mp4" => hint == "audio/mp4",
        "video/webm" => hint == "audio/webm",
        "video/3gpp" => hint == "audio/3gpp",
        "video/x-matroska" => {
            matches!(hint, "audio/x-matroska" | "video/webm" | "audio/webm")
        }
        "audio/ogg" => hint == "video/ogg",
        "image/heif" => hint == "image/heic",
        "font/sfnt" => matches!(hint, "font/ttf" | "font/otf"),
        _ => false,
    }
}

/// Whether a hint says which kind of text a text is. Nothing that browsers or programs
/// run on opening.
pub(super) fn is_text(hint: &str) -> bool {
    matches!(
        hint,
        "text/plain"
            | "text/csv"
            | "text/tab-separated-values"
            | "text/markdown"
            | "text/calendar"
            | "text/vcard"
            | "text/x-vcard"
            | "text/vtt"
            | "text/x-diff"
            | "application/x-subrip"
            | "application/json"
            | "application/geo+json"
            | "application/yaml"
            | "application/toml"
            | "application/sql"
    )
}

/// Whether magic bytes that are text themselves are to be believed in a text: a note
/// that begins with `BM` is no bitmap.
pub(super) fn is_magic_in_text(found: &str) -> bool {
    matches!(
        found,
        "application/pdf" | "application/rtf" | "application/postscript"
    )
}

/// Whether the bytes would have said so if it were that.
pub(super) fn has_magic(hint: &str) -> bool {
    hint.starts_with("image/")
        || SAFE.contains(&hint) && hint != "audio/mpeg"
        || matches!(
            hint,
            "application/pdf"
                | "application/rtf"
                | "application/zip"
                | "application/gzip"
                | "application/x-7z-compressed"
                | "application/vnd.rar"
                | "application/epub+zip"
                | "application/msword"
                | "application/vnd.ms-excel"
                | "application/vnd.ms-powerpoint"
                | "application/vnd.sqlite3"
                | "video/quicktime"
                | "video/x-matroska"
                | "video/x-msvideo"
        )
        || is_refinement("application/zip", hint)
}

/// Whether nothing runs when a file of that type is opened: known, and neither a
/// document with scripts nor a program.
pub(super) fn is_harmless(hint: &str) -> bool {
    hint != "image/svg+xml"
        && (is_text(hint)
            || SAFE.contains(&hint)
            || EXTENSIONS.iter().any(|(_, known)| *known == hint)
            || matches!(hint, "audio/aac" | "audio/l16" | "video/mp2t"))
}
