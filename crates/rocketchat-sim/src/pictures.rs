//! Looking into pictures: what the server knows of an uploaded one, its thumbnail and preview, and
//! avatars (facts 2.6 and 5.1). Everything is bounded: a picture that would take too much memory is
//! treated as one that the server cannot read.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use image::{DynamicImage, ImageFormat, ImageReader, Limits, codecs::jpeg::JpegEncoder};

/// Longest sides of a thumbnail.
const THUMBNAIL: (u32, u32) = (480, 360);
/// Longest side of the blurred preview.
const PREVIEW: u32 = 32;
/// Memory that decoding may take.
const MAX_ALLOCATION: u64 = 256 * 1024 * 1024;
/// Pixels beyond which the real server refuses to look (the default of its library).
const MAX_PIXELS: u64 = 0x3FFF * 0x3FFF;

/// A smaller copy of a picture.
#[derive(Clone, Debug)]
pub struct Thumbnail {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its media type.
    pub kind: &'static str,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// What is known of an uploaded picture.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// `png`, `jpeg`, `gif`, `webp`, and the size; missing for formats that the server does not
    /// identify.
    pub identified: Option<(&'static str, u32, u32)>,
    /// A blurred JPEG of at most 32×32, base64.
    pub preview: Option<String>,
    /// Only of pictures larger than 480×360.
    pub thumbnail: Option<Thumbnail>,
}

fn format_name(format: ImageFormat) -> Option<(&'static str, &'static str)> {
    match format {
        ImageFormat::Png => Some(("png", "image/png")),
        ImageFormat::Jpeg => Some(("jpeg", "image/jpeg")),
        ImageFormat::Gif => Some(("gif", "image/gif")),
        ImageFormat::WebP => Some(("webp", "image/webp")),
        _ => None,
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATION);
    limits
}

/// The server's text for what is no picture.
fn unsupported(head: &[u8]) -> String {
    let start = String::from_utf8_lossy(head);
    if start.trim_start().starts_with("<svg") {
        "Error: Input file has corrupt header: svgload: bad dimensions".to_owned()
    } else {
        "Error: Input file contains unsupported image format".to_owned()
    }
}

/// Looks into a file that is said to be a picture of type `kind`.
///
/// # Errors
/// With the server's text, when it is a picture by type and none by content.
pub fn look(path: &Path, kind: &str) -> Result<Look, String> {
    // These the server identifies at once, and refuses what it cannot.
    let identifies = ["image/png", "image/jpeg", "image/gif", "image/webp"].contains(&kind);
    let Ok(mut reader) = open(path) else {
        return Err(unsupported(b""));
    };
    let Some((format, (name, own_kind))) = reader
        .format()
        .and_then(|format| format_name(format).map(|names| (format, names)))
    else {
        if !identifies {
            return Ok(Look::default());
        }
        let mut head = Vec::new();
        let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut head));
        if let Err(error) = read {
            tracing::debug!(%error, "a file cannot be read again");
        }
        return Err(unsupported(&head));
    };
    let Ok((width, height)) = open(path).and_then(|one| one.into_dimensions()) else {
        return Err(unsupported(b""));
    };
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err("Error: Input image exceeds pixel limit".to_owned());
    }
    let mut seen = Look {
        identified: identifies.then_some((name, width, height)),
        ..Look::default()
    };
    reader.limits(limits());
    let Ok(picture) = reader.decode() else {
        // The header was good; what is behind it shows only when somebody looks.
        return Ok(seen);
    };
    seen.preview = preview(&picture);
    if width > THUMBNAIL.0 || height > THUMBNAIL.1 {
        let small = picture.thumbnail(THUMBNAIL.0, THUMBNAIL.1);
        seen.thumbnail = encode(&small, format).map(|bytes| Thumbnail {
            bytes,
            kind: own_kind,
            width: small.width(),
            height: small.height(),
        });
    }
    Ok(seen)
}

fn open(path: &Path) -> image::ImageResult<ImageReader<BufReader<File>>> {
    Ok(ImageReader::open(path)?.with_guessed_format()?)
}

fn preview(picture: &DynamicImage) -> Option<String> {
    let small = picture.thumbnail(PREVIEW, PREVIEW).blur(1.0).to_rgb8();
    let mut bytes = Vec::new();
    match JpegEncoder::new_with_quality(&mut bytes, 80).encode_image(&small) {
        Ok(()) => Some(STANDARD.encode(bytes)),
        Err(error) => {
            tracing::debug!(%error, "a preview cannot be made");
            None
        }
    }
}

fn encode(picture: &DynamicImage, format: ImageFormat) -> Option<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let plain = match format {
        ImageFormat::Jpeg => DynamicImage::ImageRgb8(picture.to_rgb8()),
        _ => DynamicImage::ImageRgba8(picture.to_rgba8()),
    };
    match plain.write_to(&mut bytes, format) {
        Ok(()) => Some(bytes.into_inner()),
        Err(error) => {
            tracing::debug!(%error, "a smaller picture cannot be written");
            None
        }
    }
}

/// An avatar: cut to a square of `edge` pixels. JPEG stays JPEG and WebP WebP, everything else
/// becomes PNG (facts 2.6).
///
/// # Errors
/// With the server's text, when it is no picture.
pub fn avatar(bytes: &[u8], edge: u32) -> Result<(Vec<u8>, &'static str), String> {
    let read = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let mut reader = read.map_err(|_| unsupported(bytes))?;
    let format = match reader.format() {
        Some(ImageFormat::Jpeg) => ImageFormat::Jpeg,
        Some(ImageFormat::WebP) => ImageFormat::WebP,
        _ => ImageFormat::Png,
    };
    // A drawing has no pixels to shrink: it is painted as one colour.
    let picture = if String::from_utf8_lossy(&bytes[..bytes.len().min(256)]).contains("<svg") {
        DynamicImage::new_rgba8(edge, edge)
    } else {
        reader.limits(limits());
        reader.decode().map_err(|_| unsupported(bytes))?
    };
    let square = picture.resize_to_fill(edge, edge, image::imageops::FilterType::Triangle);
    let kind = format_name(format).map_or("image/png", |(_, kind)| kind);
    encode(&square, format)
        .map(|bytes| (bytes, kind))
        .ok_or_else(|| unsupported(bytes))
}

/// Copies a JPEG without what cameras note in it (`Message_Attachments_Strip_Exif`); `false` when it
/// is none or has nothing of the kind, and nothing was written that counts.
///
/// # Errors
/// When reading or writing fails.
pub fn strip_exif(from: &mut File, to: &mut File) -> std::io::Result<bool> {
    let mut reader = BufReader::new(from);
    reader.seek(SeekFrom::Start(0))?;
    let mut marker = [0; 2];
    if reader.read_exact(&mut marker).is_err() || marker != [0xFF, 0xD8] {
        return Ok(false);
    }
    to.write_all(&marker)?;
    let mut stripped = false;
    loop {
        let mut head = [0; 4];
        if reader.read_exact(&mut head).is_err() || head[0] != 0xFF {
            return Ok(false);
        }
        // Start of the scan: no more headers.
        if head[1] == 0xDA {
            to.write_all(&head)?;
            std::io::copy(&mut reader, to)?;
            return Ok(stripped);
        }
        let length = usize::from(u16::from_be_bytes([head[2], head[3]])).saturating_sub(2);
        let mut segment = vec![0; length];
        if reader.read_exact(&mut segment).is_err() {
            return Ok(false);
        }
        if head[1] == 0xE1 && segment.starts_with(b"Exif\0") {
            stripped = true;
            continue;
        }
        to.write_all(&head)?;
        to.write_all(&segment)?;
    }
}
