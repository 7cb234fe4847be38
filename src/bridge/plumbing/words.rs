//! What people are told of rooms that are to be joined. Names in it are other people's
//! words: one line of text, of a bounded length, and nothing in them is a command, a
//! mention or a link by itself.

use std::collections::BTreeSet;

use super::HISTORY_MOST;
use super::sides::{Access, MatrixSide, RocketSide, Survey};
use crate::clock;
use crate::store::{Consequence, Portal, Proposal};

/// How much of a name is shown, in characters.
const LONGEST: usize = 80;

/// A name as one bounded line of text without what would end code or turn the line round.
pub(super) fn bounded(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| match c {
            '`' => '\'',
            c if c.is_control() || is_invisible(c) => ' ',
            c => c,
        })
        .collect();
    let mut words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = words.char_indices().nth(LONGEST) {
        words.truncate(at);
        words.push('…');
    }
    words
}

/// Characters that change how others are shown, or show nothing.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

/// The word by which a consequence is confirmed.
pub(super) fn word_for(consequence: Consequence) -> &'static str {
    match consequence {
        Consequence::PrivateIntoMatrix | Consequence::PrivateIntoRocketChat => "public",
        Consequence::Federated => "federated",
    }
}

/// What a consequence means, as a sentence.
pub(super) fn meaning(consequence: Consequence, survey: &Survey) -> String {
    let (matrix, rocket) = (&survey.matrix, &survey.rocket);
    match consequence {
        Consequence::PrivateIntoMatrix => {
            let who = match matrix.access {
                Access::Restricted => {
                    "by people of other rooms on Matrix, whom nobody here lets in one by one"
                }
                _ => "by anybody on Matrix",
            };
            format!(
                "What is written in the private room {} on Rocket.Chat can be read {who}.",
                rocket.name
            )
        }
        Consequence::PrivateIntoRocketChat if rocket.is_private => format!(
            "What is written in the room {} on Matrix, which not everybody may enter, can be \
             read in another room on Matrix that is open to more people.",
            matrix.name
        ),
        Consequence::PrivateIntoRocketChat => format!(
            "What is written in the room {} on Matrix, which not everybody may enter, can be \
             read by everybody who has an account on Rocket.Chat, and in every other room on \
             Matrix that the channel is mirrored in, now or later.",
            matrix.name
        ),
        Consequence::Federated if !matrix.is_kept_by_others() => format!(
            "What is written in the room {} on Matrix, which is only on this homeserver, is kept \
             by other homeservers too, or may be: the room {} on Rocket.Chat is mirrored in \
             another one on Matrix that is open to them. What is deleted here they are only \
             asked to delete.",
            matrix.name, rocket.name
        ),
        Consequence::Federated => {
            let others: Vec<_> = matrix.others.iter().take(5).map(|s| s.as_str()).collect();
            let who = match (others.is_empty(), matrix.others.len() - others.len()) {
                (true, _) => "other homeservers as soon as somebody of theirs comes in".to_owned(),
                (false, 0) => format!("other homeservers ({})", others.join(", ")),
                (false, more) => {
                    format!("other homeservers ({} and {more} more)", others.join(", "))
                }
            };
            let also = match rocket.unfederated_elsewhere {
                true => {
                    ", and so is what is written in another room on Matrix in which it is \
                     mirrored, and which is only on this homeserver"
                }
                false => "",
            };
            format!(
                "What is written on Rocket.Chat is kept by {who} too{also}. What is deleted here \
                 they are only asked to delete."
            )
        }
    }
}

/// What has to be confirmed and was not, with how that is done; none when nothing lacks.
pub(super) fn unconfirmed(
    survey: &Survey,
    confirmed: &BTreeSet<String>,
    command: &str,
) -> Option<String> {
    let needed = survey.consequences();
    let lacks = needed.iter().any(|one| !confirmed.contains(word_for(*one)));
    if !lacks {
        return None;
    }
    let meanings: Vec<_> = needed
        .iter()
        .map(|one| format!("• {}", meaning(*one, survey)))
        .collect();
    Some(format!(
        "Nothing is done yet, for it would mean this:\n{}\nWhoever wants that says so: `{command} \
         --confirm {}`",
        meanings.join("\n"),
        words_for(&needed)
    ))
}

/// The words by which all of these are confirmed.
pub(super) fn words_for(consequences: &BTreeSet<Consequence>) -> String {
    let words: BTreeSet<_> = consequences.iter().map(|one| word_for(*one)).collect();
    words.into_iter().collect::<Vec<_>>().join(" ")
}

/// A Matrix room and who can read it.
fn of_matrix(side: &MatrixSide) -> String {
    let access = match side.access {
        Access::Open => "open to everybody",
        Access::Restricted => "open to people of certain other rooms",
        Access::Closed => "by invitation only",
    };
    let kept = match side.may_federate {
        true => "may be kept by other homeservers too",
        false => "only on this homeserver",
    };
    format!(
        "The room {} on Matrix ({}): {access}; {kept}; {} people, of {} other homeservers.",
        side.name,
        side.room_id,
        side.people,
        side.others.len()
    )
}

/// A room of Rocket.Chat and who can read it.
fn of_rocketchat(side: &RocketSide) -> String {
    let access = match side.is_private {
        true => "private, for its members only",
        false => "public, for everybody with an account there",
    };
    format!(
        "The room {} on Rocket.Chat ({}): {access}; {} members.",
        side.name, side.rid, side.people
    )
}

/// Both rooms, what will be visible to whom, and what else is to be known.
pub(super) fn what_it_means(survey: &Survey, history: bool) -> String {
    let mut lines = vec![
        of_matrix(&survey.matrix),
        of_rocketchat(&survey.rocket),
        "From then on whoever can read one of them reads what is written in the other, with the \
         names and pictures of those who write. Each room keeps its name, its rules, its \
         members and its administrators."
            .to_owned(),
    ];
    lines.push(
        "Who may delete messages on Rocket.Chat can delete there what was written on Matrix, \
         and it is gone in both rooms."
            .to_owned(),
    );
    lines.push(match history {
        true => format!(
            "What is on Rocket.Chat already, up to {HISTORY_MOST} messages, comes to Matrix with \
             its time. What is on Matrix already stays there alone: Rocket.Chat cannot date \
             messages back."
        ),
        false => "What was written before stays where it is.".to_owned(),
    });
    let elsewhere = survey.rocket.elsewhere.len();
    if elsewhere > 0 {
        lines.push(format!(
            "The room on Rocket.Chat is mirrored in {elsewhere} more on Matrix: their people \
             read along and are heard, too.",
        ));
    }
    if survey.rocket.read_only {
        lines.push(
            "The room on Rocket.Chat is read-only: what people of Matrix write is refused there, \
             unless an owner lets them."
                .to_owned(),
        );
    }
    lines.extend(
        survey
            .consequences()
            .into_iter()
            .map(|one| format!("Mind: {}", meaning(one, survey))),
    );
    lines
        .iter()
        .map(|line| format!("• {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whom a proposal is for.
fn who_decides(proposal: &Proposal) -> &'static str {
    match proposal.is_for_matrix() {
        true => "whoever may change the power levels in the room on Matrix",
        false => "its owners on Rocket.Chat, and the administrators of that server",
    }
}

/// Said in the room of those who decide. `prefix` is what commands begin with there.
pub(super) fn notice(proposal: &Proposal, survey: &Survey, prefix: &str) -> String {
    let code = proposal.code.expose();
    let mut text = format!(
        "{} proposes to join this room with another one:\n{}\nThat is for {} to decide, until \
         {}: `{prefix} approve {code}` or `{prefix} reject {code}`. The code alone gives nobody \
         anything, and who does nothing leaves everything as it is.",
        bounded(&proposal.by.shown()),
        what_it_means(survey, proposal.history),
        who_decides(proposal),
        clock::shown(proposal.until),
    );
    if let Some(lacking) = &survey.matrix.lacking {
        text.push_str(&format!(" Before it can be approved: {lacking}"));
    }
    if !proposal.consequences.is_empty() {
        text.push_str(&format!(
            " To approve, what it brings with it has to be confirmed: `{prefix} approve {code} \
             --confirm {}`",
            words_for(&proposal.consequences)
        ));
    }
    text
}

/// The answer to whoever proposed it.
pub(super) fn proposed(proposal: &Proposal, survey: &Survey) -> String {
    let there = match proposal.is_for_matrix() {
        true => format!("in the room {} on Matrix", survey.matrix.name),
        false => format!("in {} on Rocket.Chat", survey.rocket.name),
    };
    format!(
        "Proposed. Who decides is asked {there}: {}. It holds until {}; you will read here what \
         comes of it.",
        who_decides(proposal),
        clock::shown(proposal.until)
    )
}

/// What a dry run tells.
pub(super) fn dry_run(
    survey: &Survey,
    history: bool,
    for_matrix: bool,
    confirmed: &BTreeSet<String>,
) -> String {
    let obstacles = survey.obstacles();
    if !obstacles.is_empty() {
        return format!(
            "Nothing was done. It would be refused:\n{}",
            listed(&obstacles)
        );
    }
    let who = match for_matrix {
        true => "whoever may change the power levels in the room on Matrix",
        false => "the owners of the room on Rocket.Chat, or an administrator of that server",
    };
    let mut text = format!(
        "Nothing was done. This would be proposed, and takes effect when {who} approves it:\n{}",
        what_it_means(survey, history)
    );
    let needed = survey.consequences();
    if needed.iter().any(|one| !confirmed.contains(word_for(*one))) {
        text.push_str(&format!(
            "\nIt would have to be confirmed on both sides with `--confirm {}`.",
            words_for(&needed)
        ));
    }
    text
}

/// Sentences, each on a line of its own.
pub(super) fn listed(sentences: &[String]) -> String {
    sentences
        .iter()
        .map(|one| format!("• {one}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Said in the other rooms of a channel when it gets one more on Matrix.
pub(super) fn newcomer(joined: &Portal, access: Option<Access>, federates: bool) -> String {
    let how = match joined.plumbed {
        true => "is joined with",
        false => "is made by the bridge for",
    };
    let who = match access {
        Some(Access::Open) => " Anybody can enter or read it.",
        Some(Access::Restricted) => " People of certain other rooms can enter it.",
        Some(Access::Closed) => " It is by invitation only.",
        None => "",
    };
    let kept = match federates {
        true => " Other homeservers keep it as soon as people of theirs are in it.",
        false => "",
    };
    format!(
        "One more room on Matrix, {}, {how} {} on Rocket.Chat.{who}{kept} From now on its people \
         read what is written here, and are heard here.",
        joined.room_id,
        bounded(&joined.name)
    )
}

/// Said in both rooms when it takes effect. `prefix` is what commands begin with there,
/// `elsewhere` in how many other rooms on Matrix the channel is.
pub(super) fn joined(
    proposal: &Proposal,
    by: &str,
    other: &str,
    prefix: &str,
    elsewhere: usize,
) -> String {
    let history = match proposal.history {
        true => " What was on Rocket.Chat already comes to Matrix now.",
        false => "",
    };
    let elsewhere = match elsewhere {
        0 => String::new(),
        others => format!(
            " The channel is mirrored in {others} more on Matrix, whose people read along and are \
             heard, too."
        ),
    };
    format!(
        "This room is joined with {other} from now on: what is written in one appears in the \
         other.{elsewhere} {} has proposed it, {} has approved it.{history} Whoever administers either room \
         can end it: `{prefix} unbridge`.",
        bounded(&proposal.by.shown()),
        bounded(by)
    )
}

#[cfg(test)]
mod tests {
    use super::bounded;

    #[test]
    fn a_name_is_one_bounded_line() {
        assert_eq!(bounded("a\nb\u{202e}c `approve X`"), "a b c 'approve X'");
        assert_eq!(bounded(&"ä".repeat(200)).chars().count(), 81);
        assert_eq!(bounded("  "), "");
    }
}
