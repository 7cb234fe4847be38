//! `login` and `logout`: an account on Matrix and one on Rocket.Chat are one person's.

use super::table::{Audit, Command, Needs, Usage};

pub(super) const LOGIN: Command = Command {
    name: "login",
    on_matrix: Some(Usage {
        arguments: "[code]",
        what: "links your account on Rocket.Chat, so that you speak there as yourself; without a code you get one, to be entered there",
        example: "login",
    }),
    on_rocketchat: Some(Usage {
        arguments: "[code]",
        what: "links your account on Matrix, so that you are one person on both sides; without a code you get one, to be entered there",
        example: "login",
    }),
    needs: Needs::Nothing,
    // Codes and tokens are nobody else's to read.
    audit: Audit::NotWords,
    // It sees to that itself: what others could read is made worthless.
    private: false,
    run: |bridge, context, arguments| Box::pin(bridge.log_in_person(context, arguments)),
};

pub(super) const LOGOUT: Command = Command {
    name: "logout",
    on_matrix: Some(Usage {
        arguments: "",
        what: "takes back what `login` did",
        example: "logout",
    }),
    on_rocketchat: Some(Usage {
        arguments: "",
        what: "takes back what `login` did",
        example: "logout",
    }),
    needs: Needs::Nothing,
    audit: Audit::Words,
    private: false,
    run: |bridge, context, _| Box::pin(bridge.log_out_person(context)),
};
