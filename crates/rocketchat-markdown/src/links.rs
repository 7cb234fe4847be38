//! Where addresses, e-mail addresses and phone numbers begin and end.

use std::ops::Range;

use crate::scanner::Scanner;
use crate::source::{Class, begins_mailbox};

/// How long the scheme of an address may be.
const LONGEST_SCHEME: usize = 32;

/// An e-mail address.
pub(crate) struct Mail {
    /// Without `mailto:`.
    pub(crate) address: usize,
    pub(crate) end: usize,
}

/// A phone number: its end, and where its digits are.
pub(crate) struct PhoneNumber {
    pub(crate) digits: [Range<usize>; 3],
    pub(crate) end: usize,
}

impl Scanner<'_> {
    /// An address that nobody marked as one: up to the next white space, but for the
    /// marks before it.
    pub(crate) fn found_address(&mut self, at: usize) -> Option<usize> {
        let first_mark = self.source.run(Class::BeforeHostMark, at);
        let has_mark = self.source.has(first_mark, ".") || self.source.has(first_mark, "://");
        let start = self
            .address_start(at)
            .filter(|_| has_mark || self.is_v6())?;
        let end = self.source.run(Class::Visible, start);
        let marks_count = end == self.source.len() && self.is_v6();
        let end = if marks_count {
            end
        } else {
            self.source.trailing_start(end)
        };
        Some(end.max(start))
    }

    /// An address in a link that a person wrote.
    pub(crate) fn address(&mut self, at: usize) -> Option<usize> {
        let start = self.address_start(at)?;
        Some(self.address_body(start))
    }

    /// What stands between the parentheses of a link: an address, `scheme:anything` or a
    /// phone number.
    pub(crate) fn link_target(&self, at: usize) -> Option<usize> {
        if self.is_v6() {
            return self.bar_target(at);
        }
        self.target(at, |start| self.source.target_end(start))
    }

    /// What stands before the bar of `<address|label>`.
    pub(crate) fn bar_target(&self, at: usize) -> Option<usize> {
        self.target(at, |start| self.address_body(start))
    }

    fn target(&self, at: usize, body: impl Fn(usize) -> usize) -> Option<usize> {
        let address = self.address_start(at).map(&body);
        let path = || {
            let start = self.scheme(at)?;
            Some(body(start)).filter(|end| *end > start)
        };
        address.or_else(path).or_else(|| self.phone(at))
    }

    fn address_body(&self, start: usize) -> usize {
        let end = self.source.run(Class::Address, start);
        let marks = self.source.run(Class::Trailing, end);
        let ends_sentence = self.source.is_boundary(marks, !self.is_v6());
        if ends_sentence {
            self.source.trailing_start(end).max(start)
        } else {
            end
        }
    }

    /// `scheme://user:password@host:80` or `host:80`.
    fn address_start(&self, at: usize) -> Option<usize> {
        self.scheme(at)
            .and_then(|end| self.authority(end))
            .or_else(|| self.host(at))
    }

    fn scheme(&self, at: usize) -> Option<usize> {
        let is_scheme = |unit: u16| {
            u8::try_from(unit).is_ok_and(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'-')
        };
        let length = (0..LONGEST_SCHEME)
            .take_while(|offset| self.source.at(at + offset).is_some_and(is_scheme))
            .count();
        (length > 0 && self.source.has(at + length, ":")).then_some(at + length + 1)
    }

    fn authority(&self, at: usize) -> Option<usize> {
        if !self.source.has(at, "//") {
            return None;
        }
        let credentials = || {
            let user = self.run(Class::Credentials, at + 2)?;
            let password = self
                .run(Class::Credentials, user + 1)
                .filter(|_| self.source.has(user, ":"));
            let end = password.unwrap_or(user);
            self.source.has(end, "@").then_some(end + 1)
        };
        self.host(credentials().unwrap_or(at + 2))
    }

    fn host(&self, at: usize) -> Option<usize> {
        let name = self.domain(at)?;
        let port = self
            .run(Class::Digit, name + 1)
            .filter(|_| self.source.has(name, ":"));
        Some(port.unwrap_or(name))
    }

    /// `_host.name`, where no underscore follows.
    pub(crate) fn underscore_and_host(&self, at: usize) -> Option<usize> {
        let end = self.source.has(at, "_").then(|| self.domain(at + 1))??;
        (!self.source.has(end, "_")).then_some(end)
    }

    /// `localhost`, or labels with at least one dot.
    fn domain(&self, at: usize) -> Option<usize> {
        if self.source.has(at, "localhost") {
            return Some(at + "localhost".len());
        }
        let first = self
            .label(at)
            .filter(|_| self.is_v6() || !self.source.has(at, "_"))?;
        let mut end = first;
        while self.source.has(end, ".")
            && let Some(label) = self.label(end + 1)
        {
            end = label;
        }
        (end > first).then_some(end)
    }

    fn label(&self, at: usize) -> Option<usize> {
        Some(self.source.label_end(at, !self.is_v6())).filter(|end| *end > at)
    }

    /// `name@host`, with or without `mailto:`.
    pub(crate) fn mail(&mut self, at: usize) -> Option<Mail> {
        let marked = self.source.has(at, "mailto:");
        let address = if marked { at + "mailto:".len() } else { at };
        if !begins_mailbox(self.source.at(address)?) {
            return None;
        }
        // Every position of a word asks for the same end.
        if !self.last_mailbox.contains(&address) {
            let mut end = self.source.run(Class::Mailbox, address);
            while self.source.has(end, ".") && self.source.at(end + 1).is_some_and(begins_mailbox) {
                self.steps += 1;
                end = self.source.run(Class::Mailbox, end + 1);
            }
            self.last_mailbox = address..end;
        }
        let sign = self.last_mailbox.end;
        let end = self
            .source
            .has(sign, "@")
            .then(|| self.domain(sign + 1))??;
        Some(Mail { address, end })
    }

    pub(crate) fn phone(&self, at: usize) -> Option<usize> {
        self.phone_number(at).map(|number| number.end)
    }

    /// `+4912345`, `+49-12345`, `+(49)12345`, `+(49)-12345`, `+(49)12-345`.
    pub(crate) fn phone_number(&self, at: usize) -> Option<PhoneNumber> {
        if !self.source.has(at, "+") {
            return None;
        }
        let none = at..at;
        let dashed = |at: usize| {
            let end = self
                .run(Class::Digit, at + 1)
                .filter(|_| self.source.has(at, "-"))?;
            Some(at + 1..end)
        };
        if let Some(end) = self.run(Class::Digit, at + 1) {
            let first = at + 1..end;
            let last = dashed(end).unwrap_or_else(|| none.clone());
            return Some(PhoneNumber {
                end: end.max(last.end),
                digits: [first, none, last],
            });
        }
        let prefix = at + 2
            ..self
                .run(Class::Digit, at + 2)
                .filter(|_| self.source.has(at + 1, "("))?;
        let rest = prefix.end + 1;
        if !self.source.has(prefix.end, ")") {
            return None;
        }
        if let Some(last) = dashed(rest) {
            return Some(PhoneNumber {
                end: last.end,
                digits: [prefix, none, last],
            });
        }
        let middle = rest..self.run(Class::Digit, rest)?;
        let last = dashed(middle.end).unwrap_or_else(|| none.clone());
        Some(PhoneNumber {
            end: middle.end.max(last.end),
            digits: [prefix, middle, last],
        })
    }
}
