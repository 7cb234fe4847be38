#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

// All made with the crypto module of Node 20.20:
//   const key = Buffer.from([...Array(32).keys()].map(i => (i * 7 + 250) & 255))
//   const iv = Buffer.from('a1a2a3a4a5a6a7a80000000000000000', 'hex')
//   const cipher = createCipheriv('aes-256-ctr', key, iv)
//   const stored = Buffer.concat([cipher.update(clear), cipher.final()])
//   createHash('sha256').update(stored).digest('base64')
const KEY: &str = "-gEIDxYdJCsyOUBHTlVcY2pxeH-GjZSboqmwt77FzNM";
const IV: &str = "oaKjpKWmp6gAAAAAAAAAAA";
const HELLO: &[u8] = b"Hello, attachment!";
const HELLO_STORED: [u8; 18] = [
    0x6f, 0x1a, 0xb2, 0xcb, 0xea, 0x04, 0x9c, 0x9f, 0xad, 0x04, 0xb0, 0x57, 0x52, 0x3e, 0x4e, 0xc1,
    0x69, 0x07,
];
const HELLO_HASH: &str = "zAGRDUKYyPmw8F/+nKWbl75XFCMgW6W04E7ds9tZg+U";
const EMPTY_HASH: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
/// Of 1000 bytes, the n-th being n² + 3.
const LONG_HASH: &str = "xu1fxtxD47hpI5ioUFcTtq/Z7FzoTWAtAR/fl3u4TJY";
/// 40 noughts with the counter 00000000000000ff, ffffffffffffffff: it carries beyond 64 bits.
const CARRY_IV: &str = "AAAAAAAAAP///////////w";

fn file(key: &str, iv: &str, hash: &str) -> Value {
    json!({
        "v": "v2",
        "url": "mxc://example.org/abc",
        "key": { "kty": "oct", "key_ops": ["encrypt", "decrypt"], "alg": "A256CTR", "k": key, "ext": true },
        "iv": iv,
        "hashes": { "sha256": hash },
    })
}

fn in_pieces(bytes: &[u8], size: usize) -> Body {
    let pieces: Vec<_> = bytes
        .chunks(size.max(1))
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    Body {
        chunks: stream::iter(pieces).boxed(),
        length: Some(bytes.len() as u64),
    }
}

/// What comes out in clear before the end or the error.
async fn clear(body: Body, file: &Value) -> (Vec<u8>, Option<Broken>) {
    let file = read(file).unwrap();
    let mut chunks = decrypted(body, &file).unwrap().checked().chunks;
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(broken) => return (bytes, Some(broken)),
        }
    }
    (bytes, None)
}

#[tokio::test]
async fn what_others_have_encrypted_is_read_in_pieces_of_any_size() {
    let hello = file(KEY, IV, HELLO_HASH);
    for size in 1..20 {
        let (bytes, broken) = clear(in_pieces(&HELLO_STORED, size), &hello).await;
        assert_eq!(
            (bytes.as_slice(), broken),
            (HELLO, None),
            "pieces of {size}"
        );
    }
    let empty = file(KEY, IV, EMPTY_HASH);
    assert_eq!(clear(Body::of(Vec::new()), &empty).await, (vec![], None));
}

#[tokio::test]
async fn encrypting_again_gives_what_others_stored() {
    // The scheme is its own inverse, and our hash must be theirs.
    let long: Vec<u8> = (0..1000_u32).map(|n| (n * n + 3) as u8).collect();
    let wrong = file(KEY, IV, EMPTY_HASH);
    let mut chunks = decrypted(in_pieces(&long, 333), &read(&wrong).unwrap())
        .unwrap()
        .chunks;
    let mut stored = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        stored.extend_from_slice(&chunk);
    }
    // All but the last piece, which a wrong hash keeps back.
    assert_eq!(stored.len(), 999);
    let last = {
        let whole = decrypted(
            in_pieces(&[&long[..], &[0]].concat(), 1000),
            &read(&wrong).unwrap(),
        );
        whole.unwrap().chunks.next().await.unwrap().unwrap()
    };
    assert_eq!(stored, last[..999]);
    let (bytes, broken) = clear(in_pieces(&last, 77), &file(KEY, IV, LONG_HASH)).await;
    assert_eq!((bytes, broken), (long, None));
}

#[tokio::test]
async fn the_counter_has_128_bits() {
    let noughts = in_pieces(&[0; 41], 40);
    let file = read(&file(KEY, CARRY_IV, EMPTY_HASH)).unwrap();
    let mut chunks = decrypted(noughts, &file).unwrap().chunks;
    let first = chunks.next().await.unwrap().unwrap();
    let hex: String = first.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "825ca78f517be06a34d1133241f4c41ba73bdc3fc4276d52539af8603c5e6cf54da7abe5df8481ef"
    );
}

#[tokio::test]
async fn a_wrong_hash_breaks_the_transfer_before_its_end() {
    for size in [1, 5, 18, 100] {
        for wrong in [EMPTY_HASH, LONG_HASH] {
            let wrong = file(KEY, IV, wrong);
            let (bytes, broken) = clear(in_pieces(&HELLO_STORED, size), &wrong).await;
            assert_eq!(broken, Some(Broken::WrongHash));
            assert!(bytes.len() < HELLO.len(), "the last piece was handed out");
        }
    }
    // One bit, or less than all of it.
    let hello = file(KEY, IV, HELLO_HASH);
    let mut flipped = HELLO_STORED;
    flipped[3] ^= 1;
    for stored in [&flipped[..], &HELLO_STORED[..17], &[]] {
        let (_, broken) = clear(in_pieces(stored, 4), &hello).await;
        assert_eq!(broken, Some(Broken::WrongHash), "{stored:?}");
    }
}

#[tokio::test]
async fn what_breaks_on_its_way_is_told_as_that() {
    let lost = Broken::Lost("reset".to_owned());
    let pieces = [Ok(Bytes::from_static(&HELLO_STORED)), Err(lost.clone())];
    let body = Body {
        chunks: stream::iter(pieces).boxed(),
        length: None,
    };
    let (bytes, broken) = clear(body, &file(KEY, IV, HELLO_HASH)).await;
    assert_eq!((bytes, broken), (vec![], Some(lost)));
}

#[test]
fn other_variants_of_base64_are_the_same_bytes() {
    let standard = KEY.replace('-', "+").replace('_', "/");
    let variants = [
        file(KEY, IV, HELLO_HASH),
        file(&standard, IV, HELLO_HASH),
        file(
            &format!("{standard}="),
            &format!("{IV}=="),
            &format!("{HELLO_HASH}="),
        ),
        file(KEY, IV, &HELLO_HASH.replace('+', "-").replace('/', "_")),
    ];
    for variant in variants {
        let read = read(&variant).unwrap();
        let EncryptedFileInfo::V2(info) = &read.info else {
            panic!("another version was made of it");
        };
        assert_eq!(info.k.as_bytes()[..3], [0xfa, 0x01, 0x08], "{variant}");
        // As ruma reads it, where it reads it.
        if let Ok(theirs) = serde_json::from_value::<EncryptedFile>(variant) {
            assert_eq!(
                serde_json::to_value(&theirs).unwrap(),
                serde_json::to_value(&read).unwrap()
            );
        }
    }
}

#[test]
fn what_cannot_be_decrypted_safely_is_refused() {
    let with = |path: &str, value: Value| {
        let mut file = file(KEY, IV, HELLO_HASH);
        *file.pointer_mut(path).unwrap() = value;
        read(&file).map(drop)
    };
    let table = [
        ("/v", json!("v1"), Unreadable::Version),
        ("/v", json!("v3"), Unreadable::Version),
        ("/v", json!(null), Unreadable::Version),
        ("/key/alg", json!("A128CTR"), Unreadable::Version),
        ("/key/kty", json!("RSA"), Unreadable::Version),
        ("/key/k", json!(&KEY[..42]), Unreadable::Key),
        ("/key/k", json!(format!("{KEY}AAAA")), Unreadable::Key),
        ("/key/k", json!("!"), Unreadable::Key),
        ("/key/k", json!(5), Unreadable::Key),
        ("/key", json!(null), Unreadable::Key),
        ("/iv", json!("AAAA"), Unreadable::Key),
        ("/iv", json!(KEY), Unreadable::Key),
        ("/hashes/sha256", json!(""), Unreadable::NoHash),
        ("/hashes/sha256", json!(IV), Unreadable::NoHash),
        ("/hashes", json!({ "md5": HELLO_HASH }), Unreadable::NoHash),
        ("/url", json!(7), Unreadable::Key),
    ];
    for (path, value, expected) in table {
        assert_eq!(with(path, value.clone()), Err(expected), "{path} = {value}");
    }
    let mut bare = read(&file(KEY, IV, HELLO_HASH)).unwrap();
    bare.hashes = EncryptedFileHashes::new();
    let refused = decrypted(Body::of(Vec::new()), &bare);
    assert_eq!(refused.map(drop), Err(Unreadable::NoHash));
    for odd in [json!(null), json!([]), json!("x"), json!({})] {
        assert_eq!(read(&odd).map(drop), Err(Unreadable::Version));
    }
}

proptest! {
    #[test]
    fn where_a_file_is_cut_makes_no_difference(
        stored in proptest::collection::vec(any::<u8>(), 0..200),
        cuts in proptest::collection::vec(1_usize..50, 1..4),
    ) {
        let hash = GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new())
            .encode(Sha256::digest(&stored));
        let file = file(KEY, IV, &hash);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut before = None;
        for cut in cuts {
            let now = runtime.block_on(clear(in_pieces(&stored, cut), &file));
            prop_assert_eq!(&now.1, &None);
            prop_assert_eq!(now.0.len(), stored.len());
            prop_assert!(before.is_none_or(|before| before == now.0));
            before = Some(now.0);
        }
    }
}
