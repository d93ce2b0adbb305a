-- Open letters are counted by their code every few seconds: from an index alone, which holds no bodies.
create index dead_letters_counted on dead_letters (state, code);
