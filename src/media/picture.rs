//! Pictures: how large they are, and small ones of them for avatars.

use std::io::Cursor;

use base64::Engine as _;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits};

/// So many first bytes of a file are enough for [`dimensions`], for nearly all pictures:
/// a JPEG may have a thumbnail and the profile of a camera in front.
pub const ENOUGH: usize = 256 * 1024;

/// The most that a decoded picture and its decoder may take, in bytes. With a copy of the
/// file and the small picture it stays within 32 MiB.
const MEMORY: u64 = 28 * 1024 * 1024;

/// The largest file that [`scaled`] looks at, in bytes.
pub const LARGEST: usize = 8 * 1024 * 1024;

/// Edges beyond this are not those of a picture, in pixels.
const LONGEST_EDGE: u32 = 1 << 20;

/// Below this, a picture is not made smaller in order to fit, in pixels.
const SHORTEST_EDGE: u32 = 16;

/// Of 100. What a photograph needs to look well when it is small.
const JPEG_QUALITY: u8 = 85;

/// The longest preview that is read, as base64. Rocket.Chat's have some 600 bytes.
const LONGEST_PREVIEW: usize = 64 * 1024;

/// The longest edge of a preview, in pixels. Rocket.Chat's have 32.
const LONGEST_PREVIEW_EDGE: u32 = 512;

/// Pictures are compared as so many spots along each edge ...
const SPOTS: u32 = 16;

/// ... made of no more than so many pixels along each edge ...
const COMPARED_EDGE: u32 = 256;

/// ... and are alike when those differ by so much in the mean, in each colour of 256
/// shades. What JPEG and scaling do to a picture is about 2.
const ALIKE: u32 = 5;

/// What a picture is wanted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Its longest edge, in pixels; not under 16.
    pub edge: u32,
    /// Its size, in bytes.
    pub bytes: usize,
}

/// A picture that is as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The file.
    pub bytes: Vec<u8>,
    /// `image/png` or `image/jpeg`.
    pub media_type: &'static str,
    /// In pixels, as it is to be seen.
    pub width: u32,
    /// In pixels, as it is to be seen.
    pub height: u32,
}

/// Why there is no such picture. `Display` is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPicture {
    /// Neither PNG, JPEG, GIF nor WebP.
    #[error("it is not a picture of a kind that the bridge can read (PNG, JPEG, GIF, WebP)")]
    Unknown,
    /// Decoding it would take too much memory or time.
    #[error("the picture is too large to be scaled")]
    TooLarge,
    /// It cannot be decoded.
    #[error("the picture is damaged")]
    Damaged,
    /// However small, it takes too many bytes.
    #[error("the picture cannot be made small enough")]
    DoesNotFit,
}

impl From<ImageError> for NotAPicture {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            ImageError::Unsupported(_) => Self::Unknown,
            _ => Self::Damaged,
        }
    }
}

/// Width and height in pixels, as the picture is to be seen, from its first bytes
/// (see [`ENOUGH`]). None when they do not say.
pub fn dimensions(head: &[u8]) -> Option<(u32, u32)> {
    let (width, height) = match Jpeg::read(head) {
        Some(jpeg) => jpeg.seen()?,
        None => {
            let size = imagesize::blob_size(head).ok()?;
            (
                u32::try_from(size.width).ok()?,
                u32::try_from(size.height).ok()?,
            )
        }
    };
    let edges = 1..=LONGEST_EDGE;
    (edges.contains(&width) && edges.contains(&height)).then_some((width, height))
}

/// The picture as it is wanted: unchanged if it is a PNG or a JPEG that fits already;
/// else scaled and encoded anew, as PNG if something shines through it and as JPEG if
/// not. Of an animation, the first picture. Turned as a camera's note in it says.
///
/// Takes up to 32 MiB of memory for a moment, and of a processor up to some 0.3 s in a
/// release build: for `spawn_blocking`. What would take more is refused unseen: a JPEG
/// beyond 9.8 megapixels (a progressive one beyond 3.2), a PNG beyond 7.3 (with 16 bits a
/// channel: 3.6), a GIF beyond 3.6, a WebP beyond 2.
///
/// # Errors
/// See [`NotAPicture`]; none of it changes when it is tried again.
pub fn scaled(bytes: &[u8], wanted: &Wanted) -> Result<Picture, NotAPicture> {
    if bytes.len() > LARGEST {
        return Err(NotAPicture::TooLarge);
    }
    let (decoded, format, orientation) = decoded(bytes, MEMORY)?;
    let edge = wanted.edge.max(SHORTEST_EDGE);
    let fits = decoded.width().max(decoded.height()) <= edge && bytes.len() <= wanted.bytes;
    let unchanged = match format {
        ImageFormat::Png => Some("image/png"),
        ImageFormat::Jpeg => Some("image/jpeg"),
        _ => None,
    };
    if let (true, Some(media_type), Orientation::NoTransforms) = (fits, unchanged, orientation) {
        return Ok(Picture {
            bytes: bytes.to_vec(),
            media_type,
            width: decoded.width(),
            height: decoded.height(),
        });
    }
    let mut small = within(decoded, edge);
    small.apply_orientation(orientation);
    // The large one is gone; from here on, everything is small.
    let mut small = simplified(&small);
    loop {
        let (encoded, media_type) = encoded(&small)?;
        let (width, height) = (small.width(), small.height());
        if encoded.len() <= wanted.bytes {
            return Ok(Picture {
                bytes: encoded,
                media_type,
                width,
                height,
            });
        }
        let edge = width.max(height) / 4 * 3;
        if edge < SHORTEST_EDGE {
            return Err(NotAPicture::DoesNotFit);
        }
        small = within(small, edge);
    }
}

/// The BlurHash of a small preview in base64, which may be a `data:` address. None when
/// it is too large for a preview or no picture.
pub fn blurhash(preview_base64: &str) -> Option<String> {
    if preview_base64.len() > LONGEST_PREVIEW {
        return None;
    }
    let encoded = match preview_base64.strip_prefix("data:") {
        Some(rest) => rest.split_once(";base64,")?.1,
        None => preview_base64,
    };
    let engine = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    let bytes = engine.decode(encoded.trim()).ok()?;
    let memory = u64::from(LONGEST_PREVIEW_EDGE).pow(2) * 16;
    let (mut preview, _, orientation) = decoded(&bytes, memory).ok()?;
    preview.apply_orientation(orientation);
    // More pixels say no more in so few components.
    let small = within(preview, 32).to_rgba8();
    let (width, height) = small.dimensions();
    // As many components along the longer edge as clients make themselves.
    let (x, y) = if width >= height { (4, 3) } else { (3, 4) };
    ::blurhash::encode(x, y, width, height, small.as_raw()).ok()
}

/// Whether one picture shows what the other does, scaled, with its ends cut off or with
/// borders added, in whatever format: what a server may have made of it. False when
/// either cannot be read within the bounds of [`scaled`], which it costs too.
pub fn resembles(one: &[u8], other: &[u8]) -> bool {
    let read = |bytes: &[u8]| -> Option<DynamicImage> {
        let bytes = (bytes.len() <= LARGEST).then_some(bytes)?;
        let (decoded, _, orientation) = decoded(bytes, MEMORY).ok()?;
        let mut small = within(decoded, COMPARED_EDGE);
        small.apply_orientation(orientation);
        Some(small)
    };
    let (Some(one), Some(other)) = (read(one), read(other)) else {
        return false;
    };
    let whole = is_like(&one, &other);
    let shape = |picture: &DynamicImage| (picture.width(), picture.height());
    whole
        || is_like(&middle_of(&one, shape(&other)), &other)
        || is_like(&one, &middle_of(&other, shape(&one)))
}

/// The largest part in the middle that has the shape of the given size.
fn middle_of(picture: &DynamicImage, (width, height): (u32, u32)) -> DynamicImage {
    let (own_width, own_height) = (picture.width(), picture.height());
    // Edges are at most `COMPARED_EDGE`.
    let (wide, high) = if own_width * height > own_height * width {
        (own_height * width / height, own_height)
    } else {
        (own_width, own_width * height / width)
    };
    let (wide, high) = (wide.max(1), high.max(1));
    picture.crop_imm((own_width - wide) / 2, (own_height - high) / 2, wide, high)
}

/// Whether two pictures, stretched over each other, are the same but for what scaling
/// and compressing does.
fn is_like(one: &DynamicImage, other: &DynamicImage) -> bool {
    let spots = |picture: &DynamicImage| {
        picture
            .resize_exact(SPOTS, SPOTS, image::imageops::FilterType::Triangle)
            .to_rgba8()
    };
    let (one, other) = (spots(one), spots(other));
    (0..4).all(|channel| {
        let of_channel = |picture: &image::RgbaImage| -> Vec<u8> {
            let values = picture.pixels();
            values.map(|pixel| pixel.0[channel]).collect()
        };
        let (one, other) = (of_channel(&one), of_channel(&other));
        let differences = one.iter().zip(&other).map(|(a, b)| a.abs_diff(*b));
        differences.map(u32::from).sum::<u32>() <= ALIKE * SPOTS * SPOTS
    })
}

/// Decodes what takes at most so much memory; of an animation the first picture.
fn decoded(
    bytes: &[u8],
    memory: u64,
) -> Result<(DynamicImage, ImageFormat, Orientation), NotAPicture> {
    let format = image::guess_format(bytes).map_err(|_| NotAPicture::Unknown)?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_EDGE);
    limits.max_image_height = Some(LONGEST_EDGE);
    limits.max_alloc = Some(memory);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    // The decoders' own buffers, which their limits do not count.
    let own = match format {
        // All coefficients of the picture are kept, two bytes for each of three channels.
        ImageFormat::Jpeg if Jpeg::read(bytes).is_none_or(|jpeg| jpeg.is_kept) => 6,
        ImageFormat::Jpeg | ImageFormat::Png => 0,
        // The picture of one frame beside the canvas.
        ImageFormat::Gif => 4,
        ImageFormat::WebP => 10,
        _ => return Err(NotAPicture::Unknown),
    };
    if decoder
        .total_bytes()
        .saturating_add(pixels.saturating_mul(own))
        > memory
    {
        return Err(NotAPicture::TooLarge);
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder)?, format, orientation))
}

/// The picture, not longer or wider than `edge`.
fn within(picture: DynamicImage, edge: u32) -> DynamicImage {
    if picture.width().max(picture.height()) <= edge {
        return picture;
    }
    // Averages, without a large picture in between.
    picture.thumbnail(edge, edge)
}

/// With 8 bits a channel, and without transparency where nothing shines through.
fn simplified(picture: &DynamicImage) -> DynamicImage {
    if picture.color().has_alpha() {
        let rgba = picture.to_rgba8();
        if rgba.pixels().any(|pixel| pixel.0[3] != u8::MAX) {
            return rgba.into();
        }
    }
    picture.to_rgb8().into()
}

fn encoded(picture: &DynamicImage) -> Result<(Vec<u8>, &'static str), NotAPicture> {
    let mut bytes = Vec::new();
    if picture.color().has_alpha() {
        picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)?;
        return Ok((bytes, "image/png"));
    }
    let jpeg = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
    picture.write_with_encoder(jpeg)?;
    Ok((bytes, "image/jpeg"))
}

/// What the segments in front of a JPEG say (ITU T.81, annex B).
struct Jpeg {
    /// As stored.
    size: Option<(u32, u32)>,
    orientation: Orientation,
    /// Whether a decoder has to keep the whole picture before it can show a line:
    /// progressive ones, and those whose colours come one after the other.
    is_kept: bool,
}

impl Jpeg {
    /// None when it is no JPEG.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
        let mut jpeg = Self {
            size: None,
            orientation: Orientation::NoTransforms,
            is_kept: true,
        };
        let mut channels = 0;
        while let Some((marker, segment, after)) = segment(rest) {
            rest = after;
            match (marker, segment) {
                (0xe1, [b'E', b'x', b'i', b'f', 0, 0, exif @ ..]) => {
                    if let Some(orientation) = Orientation::from_exif_chunk(exif) {
                        jpeg.orientation = orientation;
                    }
                }
                // Start of frame, of any process; three of the numbers are something else.
                (0xc0..=0xcf, [_, a, b, c, d, count, ..])
                    if !matches!(marker, 0xc4 | 0xc8 | 0xcc) =>
                {
                    let (height, width) = ([*a, *b], [*c, *d]);
                    jpeg.size = Some((
                        u16::from_be_bytes(width).into(),
                        u16::from_be_bytes(height).into(),
                    ));
                    jpeg.is_kept = !matches!(marker, 0xc0 | 0xc1);
                    channels = *count;
                }
                // Start of scan.
                (0xda, [count, ..]) => {
                    jpeg.is_kept |= *count < channels;
                    break;
                }
                _ => {}
            }
        }
        Some(jpeg)
    }

    /// Width and height as it is to be seen.
    fn seen(&self) -> Option<(u32, u32)> {
        let (width, height) = self.size?;
        Some(match self.orientation {
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => (height, width),
            _ => (width, height),
        })
    }
}

/// The first segment: its marker, what is in it, and what follows.
fn segment(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let rest = bytes.strip_prefix(b"\xff")?;
    // Any number of fill bytes.
    let start = rest.iter().position(|byte| *byte != 0xff)?;
    let (marker, rest) = rest[start..].split_first()?;
    if matches!(marker, 0x01 | 0xd0..=0xd7) {
        return Some((*marker, &[], rest));
    }
    let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
    // The last one may be cut off; the beginning of what is in it may do.
    let length = length.min(rest.len());
    Some((*marker, rest.get(2..length)?, &rest[length..]))
}

#[cfg(test)]
mod tests;
