//! Messages to convert: ordinary ones, and the worst that somebody could think of. Used
//! by the benchmark and by the test that holds the worst to linear time.

use std::hint::black_box;
use std::time::Duration;

use matrix_appservice_rocketchat::convert::to_matrix::{Channel, Directory, Person, render};
use matrix_appservice_rocketchat::convert::to_rocketchat::{Surroundings, message, split};
use rocketchat_markdown::{Generation, Options, parse};
use ruma::OwnedMxcUri;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// A message, and which way it goes.
pub struct Case {
    /// What it is, in a few words.
    pub name: &'static str,
    /// Makes it, of a size.
    pub text: fn(usize) -> String,
    /// The size; of what is counted by the name. 1 where there is only one.
    pub size: usize,
    /// The way it goes.
    pub way: Way,
}

impl Case {
    /// How long this thread is at work to convert such a text a number of times. What
    /// others do on the machine does not count.
    pub fn takes(&self, text: &str, times: u64) -> Duration {
        let began = worked();
        for _ in 0..times {
            black_box(self.way.convert(black_box(text)));
        }
        worked().saturating_sub(began)
    }
}

/// How long this thread has been at work.
fn worked() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.try_into().unwrap_or_default()
}

/// A way of converting.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// A text that Rocket.Chat has sent, read as 6.14 does, as text and HTML.
    OldToMatrix,
    /// The same, read as 8.7 does.
    NewestToMatrix,
    /// Plain text of Matrix, divided where it is too long.
    TextToRocketchat,
    /// HTML of Matrix, divided where it is too long.
    HtmlToRocketchat,
}

impl Way {
    /// In a word, for names.
    pub fn name(self) -> &'static str {
        match self {
            Self::OldToMatrix => "to Matrix",
            Self::NewestToMatrix => "to Matrix (8.7)",
            Self::TextToRocketchat => "to Rocket.Chat",
            Self::HtmlToRocketchat => "to Rocket.Chat (HTML)",
        }
    }

    /// Converts; returns how long the result is, in bytes.
    pub fn convert(self, text: &str) -> usize {
        let read = |generation| {
            let options = Options {
                generation,
                ..Options::default()
            };
            let rendered = render(&parse(text, &options), &Everybody);
            rendered.body.len() + rendered.html.map_or(0, |html| html.len())
        };
        match self {
            Self::OldToMatrix => read(Generation::V6),
            Self::NewestToMatrix => read(Generation::V8_7),
            Self::TextToRocketchat => written(&json!({ "msgtype": "m.text", "body": text })),
            Self::HtmlToRocketchat => written(&json!({
                "msgtype": "m.text",
                "body": "plain",
                "format": "org.matrix.custom.html",
                "formatted_body": text,
                "m.mentions": { "user_ids": ["@alice:example.org"] },
            })),
        }
    }
}

fn written(content: &serde_json::Value) -> usize {
    let around = Surroundings {
        username: &|user| Some(user.localpart().to_owned()),
        channel: &|_| None,
        may_call_all: true,
    };
    let text = message(content, &around).unwrap_or_default();
    split(&text, 5_000).iter().map(String::len).sum()
}

/// Knows everybody.
struct Everybody;

impl Directory for Everybody {
    fn user(&self, username: &str) -> Option<Person> {
        let user_id = format!("@rc_{username}:example.org").try_into().ok()?;
        let name = username.to_owned();
        Some(Person { user_id, name })
    }

    fn calls_everybody(&self, _: &str) -> bool {
        false
    }

    fn channel(&self, _: &str) -> Option<Channel> {
        None
    }

    fn custom_emoji(&self, _: &str) -> Option<OwnedMxcUri> {
        None
    }

    fn emoji(&self, short_code: &str) -> Option<String> {
        (short_code == "smile").then(|| "😄".to_owned())
    }
}

const SENTENCE: &str = "I have looked at it, and it works again since this morning.";
const PARAGRAPH: &str = "Hello @alice, *this* is _really_ worth [reading](https://example.org/a?b=c) :smile:, \
    it says `fn main()` and more than that.";
const PARAGRAPH_HTML: &str = "Hello <a href=\"https://matrix.to/#/@alice:example.org\">Alice</a>, \
    <strong>this</strong> is <em>really</em> worth <a href=\"https://example.org/a?b=c\">reading</a> \
    😄, it says <code>fn main()</code> and more than that.";
const CODE: &str =
    "```rust\nfn main() {\n    let answer = 6 * 7;\n    println!(\"{answer}\");\n}\n```";
const CODE_HTML: &str = "<pre><code class=\"language-rust\">fn main() {\n    let answer = 6 * 7;\n    \
    println!(\"{answer}\");\n}\n</code></pre>";

/// A name, a size, and what makes a message of a size.
type Recipe = (&'static str, usize, fn(usize) -> String);

/// What people write.
pub fn ordinary() -> Vec<Case> {
    let case = |name, way, text| Case {
        name,
        text,
        size: 1,
        way,
    };
    vec![
        case("a sentence", Way::OldToMatrix, |_| SENTENCE.to_owned()),
        case("a formatted paragraph", Way::OldToMatrix, |_| {
            PARAGRAPH.to_owned()
        }),
        case("a block of code", Way::OldToMatrix, |_| CODE.to_owned()),
        case("a formatted paragraph", Way::NewestToMatrix, |_| {
            PARAGRAPH.to_owned()
        }),
        case("a sentence", Way::TextToRocketchat, |_| SENTENCE.to_owned()),
        case("a formatted paragraph", Way::HtmlToRocketchat, |_| {
            PARAGRAPH_HTML.to_owned()
        }),
        case("a block of code", Way::HtmlToRocketchat, |_| {
            CODE_HTML.to_owned()
        }),
    ]
}

/// What nobody writes who means well. Each must take time in proportion to its size.
pub fn worst() -> Vec<Case> {
    let texts: [Recipe; 14] = [
        ("characters of nested markup", 5_000, |n| {
            "*_~".chars().cycle().take(n).collect()
        }),
        ("nested markup around words", 1_250, |n| {
            "*a _b ~c ".repeat(n / 3)
        }),
        ("mentions", 10_000, |n| "@alice ".repeat(n)),
        ("opening brackets", 20_000, |n| "[".repeat(n)),
        ("opening image brackets", 10_000, |n| "![".repeat(n)),
        ("links without an end", 5_000, |n| "[a](".repeat(n)),
        ("backticks", 20_000, |n| "`".repeat(n)),
        ("backticks and letters", 10_000, |n| "`a``b".repeat(n / 5)),
        ("marks of quotes", 10_000, |n| "> ".repeat(n)),
        ("bars", 20_000, |n| "|".repeat(n)),
        ("addresses", 2_000, |n| "https://a.com/(x_y) ".repeat(n)),
        ("colons and letters", 10_000, |n| ":a".repeat(n)),
        ("formulas without an end", 10_000, |n| {
            "\\(\\[".repeat(n / 4)
        }),
        ("cells of a table", 1_000, |n| {
            let row = format!("{}|\n", "| *a* ".repeat(10));
            let rule = format!("{}|\n", "| --- ".repeat(10));
            format!("{row}{rule}{}", row.repeat(n / 10))
        }),
    ];
    let html: [Recipe; 10] = [
        ("nested tags", 10_000, |n| format!("{}x", "<b>".repeat(n))),
        ("nested tags of many kinds", 3_000, |n| {
            format!("{}x", "<b>*<i>_<s>~".repeat(n / 3))
        }),
        ("nested tags, more than an event can have", 100_000, |n| {
            format!("{}x", "<b>".repeat(n))
        }),
        ("nested quotes and lists", 2_000, |n| {
            format!("{}x", "<blockquote><ul><li>".repeat(n / 3))
        }),
        ("nested tables", 2_000, |n| {
            format!("{}x", "<table><tr><td>".repeat(n / 3))
        }),
        ("unclosed formatting in paragraphs", 3_000, |n| {
            format!("{}x", "<b a=1><p>".repeat(n / 2))
        }),
        ("ends without a beginning", 7_000, |n| {
            format!("{}x", "</b>".repeat(n))
        }),
        ("mentions", 600, |n| {
            "<a href=\"https://matrix.to/#/@alice:example.org\">A</a>".repeat(n)
        }),
        ("cells of a table", 1_000, |n| {
            let row = format!("<tr>{}</tr>", "<td><b>a</b></td>".repeat(10));
            format!("<table>{}</table>", row.repeat(n / 10))
        }),
        ("markup as text", 10_000, |n| "*_~`".repeat(n / 4)),
    ];
    let mut cases = Vec::new();
    for (name, size, text) in texts {
        for way in [Way::OldToMatrix, Way::NewestToMatrix, Way::TextToRocketchat] {
            cases.push(Case {
                name,
                text,
                size,
                way,
            });
        }
    }
    for (name, size, text) in html {
        cases.push(Case {
            name,
            text,
            size,
            way: Way::HtmlToRocketchat,
        });
    }
    cases
}
