//! Rules that change a graph without changing what it computes, one rule a file.
