//! Chips, boards and hosts as data.
