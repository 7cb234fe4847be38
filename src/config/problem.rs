//! What is wrong with a configuration, said so that it can be mended.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_saphyr::Error as YamlError;

/// Why a configuration is refused: where, what was found, what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    file: Option<PathBuf>,
    line: Option<u64>,
    text: String,
}

impl ConfigProblem {
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::plain(format!(
            "cannot be read ({error}); copy config.yaml.example and fill it in, or name the file with --config"
        ))
        .in_file(path)
    }

    pub(super) fn value(key: &str, found: &str, wanted: &str) -> Self {
        Self::plain(format!("{key} is {found:?}; it must be {wanted}"))
    }

    pub(super) fn missing(key: &str, wanted: &str) -> Self {
        Self::plain(format!("{key} is missing; give {wanted}"))
    }

    pub(super) fn environment(variable: &str, what: String) -> Self {
        Self::plain(format!("environment variable {variable}: {what}"))
    }

    pub(super) fn from_yaml(error: &YamlError, text: &str) -> Self {
        // A snippet would show what stands around the mistake: perhaps a token.
        let plain = error.without_snippet();
        let line = plain.location().map(|location| location.line());
        let said = match plain {
            YamlError::SerdeUnknownField {
                field, expected, ..
            } => unknown_key(field, expected),
            other => describe(other, line, text),
        };
        Self {
            file: None,
            line,
            text: said,
        }
    }

    pub(super) fn in_file(mut self, path: &Path) -> Self {
        self.file = Some(path.to_owned());
        self
    }

    fn plain(text: String) -> Self {
        Self {
            file: None,
            line: None,
            text,
        }
    }
}

fn unknown_key(found: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|key| (strsim::damerau_levenshtein(found, key), *key))
        .min()
        .filter(|(distance, key)| *distance <= key.len().max(found.len()) / 2);
    match nearest {
        Some((_, key)) => format!("unknown key `{found}`; did you mean `{key}`?"),
        None => format!("unknown key `{found}`; possible here: {}", known.join(", ")),
    }
}

/// The reader's own words, unless they could show a secret: an error about a
/// value repeats the value.
fn describe(error: &YamlError, line: Option<u64>, text: &str) -> String {
    let on_line = line
        .and_then(|line| usize::try_from(line).ok())
        .and_then(|line| text.lines().nth(line.saturating_sub(1)))
        .unwrap_or_default();
    match ["token", "password", "secret"]
        .iter()
        .find(|word| on_line.contains(**word))
    {
        Some(word) => format!("the value of this {word} must be text in quotes"),
        None => {
            let said = error.to_string();
            let said = said.lines().next().unwrap_or("not readable");
            // Where it is has been said already.
            let said = said.split(" at line ").next().unwrap_or(said);
            match on_line.split_once(':') {
                Some((key, _)) => format!("{}: {said}", key.trim()),
                None => said.to_owned(),
            }
        }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ", line {line}")?;
            }
            write!(f, ": ")?;
        } else if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.text)
    }
}

impl std::error::Error for ConfigProblem {}
