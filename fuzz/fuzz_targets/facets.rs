//! Texts of posts: the facets that are found in one are facets that its author could have given.

#![no_main]

use whimbrel::model::{Facets, PostText};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(text) = PostText::parse(text) else { return };
    // Every second name belongs to a user.
    let found = Facets::scan(&text, |user| user.as_str().len() % 2 == 0);
    let given = Facets::from_author(&text, found.all().into());
    assert_eq!(given.map(|given| given.all().to_vec()), Ok(found.all().to_vec()));
});
