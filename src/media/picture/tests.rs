#![allow(clippy::unwrap_used, clippy::expect_used)]

use image::codecs::gif::GifEncoder;
use image::{Frame, Rgb, RgbImage, Rgba, RgbaImage};
use proptest::prelude::*;

use super::*;

const AVATAR: Wanted = Wanted {
    edge: 64,
    bytes: 100_000,
};

/// Left half red, right half blue.
fn two_halves(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| {
        Rgb(if x < width / 2 {
            [255, 0, 0]
        } else {
            [0, 0, 255]
        })
    })
}

fn file(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture
        .write_to(&mut Cursor::new(&mut bytes), format)
        .unwrap();
    bytes
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    file(&two_halves(width, height).into(), ImageFormat::Jpeg)
}

fn png(width: u32, height: u32) -> Vec<u8> {
    file(&two_halves(width, height).into(), ImageFormat::Png)
}

/// A JPEG with a camera's note on how it was held (TIFF 6.0, tag 274).
fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend_from_slice(&[orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], b"\xff\xe1", &length, &exif, &jpeg[2..]].concat()
}

fn at(picture: &Picture, x: u32, y: u32) -> [u8; 4] {
    image::load_from_memory(&picture.bytes)
        .unwrap()
        .to_rgba8()
        .get_pixel(x, y)
        .0
}

fn is_red([red, green, blue, _]: [u8; 4]) -> bool {
    red > 200 && green < 60 && blue < 60
}

#[test]
fn the_size_stands_in_the_first_bytes() {
    let picture: DynamicImage = two_halves(30, 20).into();
    let formats = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Gif,
        ImageFormat::WebP,
    ];
    for format in formats {
        let whole = file(&picture, format);
        assert_eq!(dimensions(&whole), Some((30, 20)), "{format:?}");
        assert_eq!(dimensions(&whole[..8]), None, "{format:?}");
    }
    let bmp = [
        &b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"[..],
        &[30, 0, 0, 0, 20, 0, 0, 0, 1, 0, 24, 0],
    ]
    .concat();
    assert_eq!(dimensions(&bmp), Some((30, 20)));
    for nothing in [
        &b""[..],
        b"hello",
        b"<svg width='30' height='20'/>",
        b"\xff\xd8",
        b"\xff\xd8\xff",
    ] {
        assert_eq!(dimensions(nothing), None, "{nothing:?}");
    }
}

#[test]
fn a_camera_held_upright_makes_an_upright_picture() {
    let jpeg = jpeg(30, 20);
    let table = [
        (1, (30, 20)),
        (3, (30, 20)),
        (5, (20, 30)),
        (6, (20, 30)),
        (8, (20, 30)),
        (99, (30, 20)),
    ];
    for (orientation, expected) in table {
        let picture = turned(&jpeg, orientation);
        assert_eq!(dimensions(&picture), Some(expected), "{orientation}");
    }
    let upright = scaled(&turned(&jpeg, 6), &AVATAR).unwrap();
    assert_eq!((upright.width, upright.height), (20, 30));
    assert!(is_red(at(&upright, 10, 3)) && !is_red(at(&upright, 10, 27)));
}

#[test]
fn what_fits_already_is_left_alone() {
    for (bytes, media_type) in [(png(64, 64), "image/png"), (jpeg(64, 10), "image/jpeg")] {
        let picture = scaled(&bytes, &AVATAR).unwrap();
        assert_eq!(picture.bytes, bytes);
        assert_eq!((picture.media_type, picture.width), (media_type, 64));
    }
}

#[test]
fn what_is_too_large_becomes_smaller_in_proportion() {
    let table = [
        (png(640, 320), (64, 32)),
        (jpeg(300, 600), (32, 64)),
        (
            file(&two_halves(128, 128).into(), ImageFormat::WebP),
            (64, 64),
        ),
        (png(6400, 1), (64, 1)),
    ];
    for (bytes, expected) in table {
        let picture = scaled(&bytes, &AVATAR).unwrap();
        assert_eq!((picture.width, picture.height), expected);
        assert_eq!(picture.media_type, "image/jpeg", "nothing shines through");
        assert_eq!(dimensions(&picture.bytes), Some(expected));
        let right = at(&picture, picture.width - 1, 0);
        assert!(is_red(at(&picture, 0, 0)) && !is_red(right));
    }
}

#[test]
fn what_shines_through_stays_so() {
    let glass = RgbaImage::from_fn(200, 100, |x, _| {
        Rgba([255, 0, 0, if x < 100 { 0 } else { 255 }])
    });
    let picture = scaled(&file(&glass.into(), ImageFormat::Png), &AVATAR).unwrap();
    assert_eq!(picture.media_type, "image/png");
    assert_eq!(at(&picture, 2, 2)[3], 0);
    assert!(is_red(at(&picture, 60, 2)));
}

#[test]
fn of_an_animation_the_first_picture_is_taken() {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for color in [[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255]] {
        let frame = RgbaImage::from_pixel(20, 20, Rgba(color));
        encoder.encode_frame(Frame::new(frame)).unwrap();
    }
    drop(encoder);
    let picture = scaled(&bytes, &AVATAR).unwrap();
    assert_eq!((picture.width, picture.media_type), (20, "image/jpeg"));
    assert!(is_red(at(&picture, 10, 10)));
}

#[test]
fn the_size_in_bytes_is_kept_at_the_cost_of_pixels() {
    let mut seed = 1_u32;
    let noise = RgbImage::from_fn(300, 300, |_, _| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [a, b, c, _] = seed.to_be_bytes();
        Rgb([a, b, c])
    });
    let bytes = file(&noise.into(), ImageFormat::Png);
    let wanted = Wanted {
        edge: 256,
        bytes: 5000,
    };
    let picture = scaled(&bytes, &wanted).unwrap();
    assert!(picture.bytes.len() <= 5000 && picture.width < 256);
    let nothing = Wanted {
        edge: 256,
        bytes: 10,
    };
    assert_eq!(scaled(&bytes, &nothing), Err(NotAPicture::DoesNotFit));
}

/// Some kilobytes that claim, and hold, hundreds of megapixels of nothing.
#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let (mut png, mut jpeg) = (png(1, 1), jpeg(16, 16));
    png[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    // The checksum of what was changed, or it were only damaged.
    let crc = crc(&png[12..29]).to_be_bytes();
    png[29..33].copy_from_slice(&crc);
    let frame = jpeg.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    let mut gif = b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    gif.extend_from_slice(b"\x2c\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x4c\x01\0\x3b");
    let mut webp = file(&two_halves(1, 1).into(), ImageFormat::WebP);
    let signature = webp.windows(4).position(|four| four == b"VP8L").unwrap() + 8;
    webp[signature + 1..signature + 4].copy_from_slice(&[0xfe, 0xbf, 0xff]);
    webp[signature + 4] |= 0x0f;
    for (what, bomb) in [
        ("png", &png[..]),
        ("jpeg", &jpeg),
        ("gif", &gif),
        ("webp", &webp),
    ] {
        assert_eq!(scaled(bomb, &AVATAR), Err(NotAPicture::TooLarge), "{what}");
        assert_eq!(blurhash(&base64_of(bomb)), None, "{what}");
    }
    assert_eq!(
        scaled(&vec![0xff; LARGEST + 1], &AVATAR),
        Err(NotAPicture::TooLarge)
    );
}

#[test]
fn what_keeps_its_coefficients_may_have_fewer_pixels() {
    // Progressive, or one colour after the other.
    let baseline = jpeg(16, 16);
    assert!(!Jpeg::read(&baseline).unwrap().is_kept);
    let mut progressive = baseline.clone();
    let frame = baseline
        .windows(2)
        .position(|two| two == [0xff, 0xc0])
        .unwrap();
    progressive[frame + 1] = 0xc2;
    assert!(Jpeg::read(&progressive).unwrap().is_kept);
    let mut separate = baseline.clone();
    let scan = baseline
        .windows(2)
        .position(|two| two == [0xff, 0xda])
        .unwrap();
    separate[scan + 4] = 1;
    assert!(Jpeg::read(&separate).unwrap().is_kept);
}

#[test]
fn what_is_no_picture_is_not_taken_for_one() {
    let cut = png(300, 300);
    let table = [
        (&b""[..], NotAPicture::Unknown),
        (b"hello", NotAPicture::Unknown),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            NotAPicture::Unknown,
        ),
        (b"\0\0\0\x1cftypavif\0\0\0\0avif", NotAPicture::Unknown),
        (b"%PDF-1.7", NotAPicture::Unknown),
        (&cut[..60], NotAPicture::Damaged),
        (b"GIF89a", NotAPicture::Damaged),
    ];
    for (bytes, expected) in table {
        assert_eq!(scaled(bytes, &AVATAR), Err(expected), "{bytes:?}");
    }
}

fn base64_of(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// As PNG has it (ISO 15948, annex D).
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}

/// As Rocket.Chat 6.14 has made it of a green picture with a lighter stripe.
const PREVIEW: &str = "/9j/2wBDAAYEBQYFBAYGBQYHBwYIChAKCgkJChQODwwQFxQYGBcUFhYaHSUfGhsjHBYWICwgIyYnKSopGR8tMC0oMCUoKSj/2wBDAQcHBwoIChMKChMoGhYaKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCj/wAARCAAYACADASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAH/xAAXEAEBAQEAAAAAAAAAAAAAAAAAATFh/8QAFAEBAAAAAAAAAAAAAAAAAAAAAP/EABQRAQAAAAAAAAAAAAAAAAAAAAD/2gAMAwEAAhEDEQA/AIAATegAAAsAH//Z";

#[test]
fn a_preview_becomes_a_blur() {
    let hash = blurhash(PREVIEW).unwrap();
    // One character for the numbers of components (4 and 3), one for the largest, four
    // for the average, two for each of eleven others.
    assert_eq!(hash.len(), 28);
    assert!(hash.starts_with('L'), "{hash}");
    assert_eq!(
        blurhash(&format!("data:image/jpeg;base64,{PREVIEW}")),
        Some(hash.clone())
    );
    assert_eq!(blurhash(PREVIEW.trim_end_matches('=')), Some(hash));
    // Rotated red and blue, higher than wide: three by four.
    let upright = blurhash(&base64_of(&png(20, 30))).unwrap();
    assert!(upright.starts_with('T'), "{upright}");
    for nothing in [
        "",
        "hello",
        "data:,x",
        "data:image/png;base64,",
        "////",
        "%%%%",
    ] {
        assert_eq!(blurhash(nothing), None, "{nothing}");
    }
    assert_eq!(blurhash(&"A".repeat(LONGEST_PREVIEW + 1)), None);
}

#[test]
fn the_blur_of_one_colour_is_that_colour() {
    let red = RgbImage::from_pixel(8, 8, Rgb([255, 0, 0]));
    let hash = blurhash(&base64_of(&file(&red.into(), ImageFormat::Png))).unwrap();
    let pixel = ::blurhash::decode(&hash, 1, 1, 1.0).unwrap();
    assert!(is_red([pixel[0], pixel[1], pixel[2], 255]), "{pixel:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_is_an_answer_too(
        format in proptest::sample::select(vec![
            ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP,
        ]),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = file(&two_halves(40, 24).into(), format);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Some((width, height)) = dimensions(&bytes) {
            prop_assert!(width > 0 && height > 0);
        }
        if let Ok(picture) = scaled(&bytes, &AVATAR) {
            prop_assert!(picture.width.max(picture.height) <= AVATAR.edge);
            prop_assert!(picture.bytes.len() <= AVATAR.bytes);
        }
        let _ = blurhash(&base64_of(&bytes));
    }
}

#[test]
fn a_picture_is_known_in_what_a_server_made_of_it() {
    let like = |one: &[u8], other: &[u8]| {
        assert_eq!(resembles(one, other), resembles(other, one));
        resembles(one, other)
    };
    assert!(like(&png(400, 400), &jpeg(200, 200)), "scaled, as JPEG");
    assert!(
        like(&png(400, 200), &jpeg(50, 50)),
        "stretched, or its ends cut off"
    );
    let mut framed = RgbaImage::new(200, 200);
    image::imageops::overlay(
        &mut framed,
        &DynamicImage::from(two_halves(200, 100)).to_rgba8(),
        0,
        50,
    );
    let framed = file(&framed.into(), ImageFormat::Png);
    assert!(like(&png(400, 200), &framed), "with borders");

    let plain = |red: u8| {
        let picture = RgbImage::from_pixel(40, 40, Rgb([red, 0, 0]));
        file(&picture.into(), ImageFormat::Png)
    };
    assert!(like(&plain(60), &plain(62)));
    assert!(!like(&plain(60), &plain(70)), "another shade");
    let mirrored = two_halves(40, 40);
    let mirrored = file(&DynamicImage::from(mirrored).fliph(), ImageFormat::Png);
    assert!(!like(&png(40, 40), &mirrored));
    assert!(!like(&png(40, 40), b"no picture"));
    assert!(like(&png(1, 300), &png(1, 2)), "the narrowest");
}
