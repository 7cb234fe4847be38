#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use super::file::*;
use super::*;

const EXAMPLE: &str = include_str!("../../config.yaml.example");
const REGISTRATION_EXAMPLE: &str = include_str!("../../registration.yaml.example");

/// The least that must be filled in.
const SMALLEST: &str = "\
homeserver:
  url: http://localhost:8008
  server_name: example.org
rocketchat:
  url: http://localhost:3000
  user_id: abc
  token: s3cret-token
";

fn parse(text: &str) -> Result<Config, ConfigProblem> {
    Config::parse(text, Path::new("/etc/bridge"), &Environment::default())
}

fn refusal(text: &str) -> String {
    parse(text).expect_err("must be refused").to_string()
}

fn with_environment(text: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigProblem> {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(text, Path::new("."), &Environment::from_pairs(pairs))
}

/// The example shows every option with its default: filled in with what has no
/// default, it says the same as the smallest file.
#[test]
fn the_example_shows_the_defaults() {
    let filled = EXAMPLE
        .replace("user_id: \"\"", "user_id: abc")
        .replace("  token: \"\"", "  token: s3cret-token");
    let (example, smallest) = (parse(&filled).unwrap(), parse(SMALLEST).unwrap());
    assert_eq!(format!("{example:?}"), format!("{smallest:?}"));
}

/// Every key that the program reads stands in the example: each one, misspelt
/// there, is refused, and the right one suggested.
#[test]
fn the_example_shows_every_option() {
    let keys: Vec<&str> = EXAMPLE
        .lines()
        .filter_map(|line| line.trim().split_once(':'))
        .map(|(key, _)| key)
        .filter(|key| !key.starts_with('#'))
        .collect();
    let known = [
        HomeserverSection::keys(),
        AppserviceSection::keys(),
        RocketChatSection::keys(),
        BridgeSection::keys(),
        MediaSection::keys(),
        StoreSection::keys(),
        LogSection::keys(),
    ]
    .concat();
    for key in known {
        assert!(keys.contains(&key), "config.yaml.example lacks {key}");
    }
}

/// The names of a section's options, as serde knows them.
trait Keys {
    fn keys() -> Vec<&'static str>;
}

impl<T: for<'de> Deserialize<'de>> Keys for T {
    fn keys() -> Vec<&'static str> {
        struct Spy(Vec<&'static str>);
        impl<'de> serde::Deserializer<'de> for &mut Spy {
            type Error = serde::de::value::Error;
            fn deserialize_any<V: serde::de::Visitor<'de>>(
                self,
                _: V,
            ) -> Result<V::Value, Self::Error> {
                Err(serde::de::Error::custom("only looked at"))
            }
            fn deserialize_struct<V: serde::de::Visitor<'de>>(
                self,
                _: &'static str,
                fields: &'static [&'static str],
                _: V,
            ) -> Result<V::Value, Self::Error> {
                self.0 = fields.to_vec();
                Err(serde::de::Error::custom("only looked at"))
            }
            serde::forward_to_deserialize_any! {
                bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option
                unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
            }
        }
        let mut spy = Spy(Vec::new());
        assert!(T::deserialize(&mut spy).is_err());
        spy.0
    }
}

/// The example registration is what `registration` writes, but for the tokens.
#[test]
fn the_registration_example_is_what_is_written() {
    let written = Registration::generate(&parse(SMALLEST).unwrap()).to_yaml();
    let without_tokens = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with("as_token:") && !line.starts_with("hs_token:"))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    assert_eq!(
        without_tokens(REGISTRATION_EXAMPLE),
        without_tokens(&written)
    );
}

#[test]
fn a_written_registration_is_accepted_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::parse(SMALLEST, directory.path(), &Environment::default()).unwrap();
    let path = &config.appservice.registration;
    let written = Registration::generate(&config);
    written.write(path).unwrap();
    let read = Registration::load(&config).unwrap();
    assert_eq!(read.as_token, written.as_token);
    assert_eq!(read.hs_token, written.hs_token);
    assert!(read.receive_ephemeral && read.rate_limited == Some(false));
    assert!(matches!(
        Registration::generate(&config).write(path),
        Err(RegistrationProblem::Exists(_))
    ));
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o077, 0, "others can read the tokens");
    }
}

#[test]
fn a_registration_that_says_something_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::parse(SMALLEST, directory.path(), &Environment::default()).unwrap();
    let path = &config.appservice.registration;
    let good = Registration::generate(&config).to_yaml();
    for (right, wrong, named) in [
        ("rocketchatbot", "otherbot", "sender_localpart"),
        ("29330", "29331", "appservice.url"),
        ("id: 'rocketchat'", "id: 'other'", "appservice.id"),
        ("@_rocketchat_", "@_rc_", "namespaces.users"),
        ("#_rocketchat_", "#_rc_", "namespaces.aliases"),
    ] {
        std::fs::write(path, good.replace(right, wrong)).unwrap();
        let said = Registration::load(&config).unwrap_err().to_string();
        assert!(said.contains(named), "{named} is not named in: {said}");
    }
}

#[test]
fn a_broken_registration_never_shows_its_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::parse(SMALLEST, directory.path(), &Environment::default()).unwrap();
    std::fs::write(
        &config.appservice.registration,
        "as_token: [hunter2, hunter3]\nhs_token: x\n",
    )
    .unwrap();
    let said = Registration::load(&config).unwrap_err().to_string();
    assert!(!said.contains("hunter"), "{said}");
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_right_one() {
    let said = refusal(&SMALLEST.replace("server_name", "servername"));
    assert!(
        said.contains("line 3") && said.contains("`server_name`"),
        "{said}"
    );
    let said = refusal(&format!("{SMALLEST}brigde:\n  admins: []\n"));
    assert!(said.contains("`bridge`"), "{said}");
}

#[test]
fn wrong_values_are_refused_with_the_key_and_what_would_be_right() {
    for (right, wrong, key) in [
        ("http://localhost:8008", "localhost:8008", "homeserver.url"),
        (
            "http://localhost:8008",
            "http://me:pw@localhost:8008",
            "homeserver.url",
        ),
        (
            "http://localhost:8008",
            "http://localhost:8008/?x=1",
            "homeserver.url",
        ),
        (
            "server_name: example.org",
            "server_name: https://example.org",
            "homeserver.server_name",
        ),
        ("http://localhost:3000", "ftp://localhost", "rocketchat.url"),
        ("user_id: abc", "user_id: ''", "rocketchat.user_id"),
        ("token: s3cret-token", "token: ''", "rocketchat.token"),
    ] {
        let said = refusal(&SMALLEST.replace(right, wrong));
        assert!(said.contains(key), "{key} is not named in: {said}");
        assert!(!said.contains("me:pw"), "{said}");
    }
    for (section, key) in [
        ("appservice:\n  listen: nowhere\n", "appservice.listen"),
        (
            "appservice:\n  bot_localpart: Big Bot\n",
            "appservice.bot_localpart",
        ),
        (
            "appservice:\n  bot_localpart: _rocketchat_x\n",
            "appservice.bot_localpart",
        ),
        (
            "appservice:\n  ghost_prefix: '@x'\n",
            "appservice.ghost_prefix",
        ),
        ("bridge:\n  admins: [bob]\n", "bridge.admins"),
        ("bridge:\n  channels: ['#general']\n", "bridge.channels"),
        ("store:\n  cache_mib: 0\n", "store.cache_mib"),
        ("log:\n  level: 'a=b=c'\n", "log.level"),
    ] {
        let said = refusal(&format!("{SMALLEST}{section}"));
        assert!(said.contains(key), "{key} is not named in: {said}");
    }
}

#[test]
fn no_problem_and_no_debug_output_shows_a_secret() {
    let said = refusal(&SMALLEST.replace("token: s3cret-token", "token: [s3cret-token]"));
    assert!(!said.contains("s3cret"), "{said}");
    let config = parse(SMALLEST).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
    assert!(!format!("{:?}", Registration::generate(&config)).contains("_token: \""));
}

#[test]
fn secrets_come_from_the_environment() {
    let without = SMALLEST.replace("  token: s3cret-token\n", "");
    let config = with_environment(
        &without,
        &[("ROCKETCHAT_BRIDGE_ROCKETCHAT_TOKEN", "fromenv")],
    )
    .unwrap();
    assert!(
        matches!(&config.rocketchat.login, RocketLogin::Token { token, .. } if token.expose() == "fromenv")
    );

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "fromfile\n").unwrap();
    let file = file.to_str().unwrap();
    let variable = "ROCKETCHAT_BRIDGE_ROCKETCHAT_TOKEN_FILE";
    let config = with_environment(&without, &[(variable, file)]).unwrap();
    assert!(
        matches!(&config.rocketchat.login, RocketLogin::Token { token, .. } if token.expose() == "fromfile")
    );

    let both = [
        (variable, file),
        ("ROCKETCHAT_BRIDGE_ROCKETCHAT_TOKEN", "x"),
    ];
    assert!(
        with_environment(&without, &both)
            .unwrap_err()
            .to_string()
            .contains("not both")
    );
    let missing = with_environment(&without, &[(variable, "/nowhere/at/all")]).unwrap_err();
    assert!(missing.to_string().contains(variable));
}

#[test]
fn relative_paths_count_from_the_file() {
    let config = parse(SMALLEST).unwrap();
    assert_eq!(config.store.path, Path::new("/etc/bridge/data"));
    assert_eq!(
        config.appservice.registration,
        Path::new("/etc/bridge/registration.yaml")
    );
}

#[test]
fn a_ghost_is_of_this_server_only() {
    let config = parse(SMALLEST).unwrap();
    let is_ghost = |user: &str| config.is_ghost(&UserId::parse(user).unwrap());
    assert!(is_ghost("@_rocketchat_bob:example.org"));
    assert!(!is_ghost("@_rocketchat_bob:evil.org"));
    assert!(!is_ghost("@bob:example.org"));
    assert!(config.is_ours(&config.appservice.bot));
}

#[test]
fn links_lead_to_the_listener_unless_another_address_is_given() {
    let media = |more: &str| parse(&format!("{SMALLEST}{more}")).map(|config| config.media);
    let default = media("").unwrap();
    assert_eq!(default.public_url.as_str(), "http://localhost:29330/");
    assert!(default.links && default.looks_private());
    let own =
        media("media:\n  public_url: https://files.example.org/rc\n  links: false\n").unwrap();
    assert_eq!(own.public_url.as_str(), "https://files.example.org/rc");
    assert!(!own.links && !own.looks_private());
    for (wrong, key) in [
        ("public_url: files.example.org", "media.public_url"),
        ("public_url: https://x.org/?a", "media.public_url"),
        ("link_days: 0", "media.link_days"),
        ("link_days: 4000", "media.link_days"),
    ] {
        let said = refusal(&format!("{SMALLEST}media:\n  {wrong}\n"));
        assert!(said.contains(key), "{wrong}: {said}");
    }
}

#[test]
fn an_address_that_browsers_cannot_reach_is_known() {
    let table = [
        ("http://127.0.0.1:29330", true),
        ("http://[::1]", true),
        ("http://0.0.0.0", true),
        ("http://10.1.2.3", true),
        ("http://192.168.0.4", true),
        ("http://[fd00::1]", true),
        ("http://bridge:29330", true),
        ("http://bridge.localhost", true),
        ("http://nas.local", true),
        ("https://files.example.org", false),
        ("https://203.0.113.9", false),
        ("https://[2001:db8::1]", false),
    ];
    for (url, expected) in table {
        let text = format!("{SMALLEST}media:\n  public_url: \"{url}\"\n");
        assert_eq!(
            parse(&text).unwrap().media.looks_private(),
            expected,
            "{url}"
        );
    }
}
