//! What the arguments mean: recipes read, work folders opened.
