//! Content, from one side's form to the other's. Pure functions.

pub mod absent;
pub mod to_matrix;
pub mod to_rocketchat;
