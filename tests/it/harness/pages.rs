//! A feed that was read page by page.

use whimbrel::api::v1::{FeedItem, NewsFeedResponse, Post};

/// The pages of one listing, in order.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    pages: Vec<NewsFeedResponse>,
}

impl Feed {
    /// The listing that begins with `page`.
    pub(crate) fn of(page: NewsFeedResponse) -> Self {
        Self { pages: vec![page] }
    }

    /// Adds the page after the last.
    pub(crate) fn append(&mut self, page: NewsFeedResponse) {
        self.pages.push(page);
    }

    /// The token of the next page; `None` at the end of the feed.
    pub(crate) fn next_page_token(&self) -> Option<String> {
        let last = self.pages.last().expect("a feed has a page");
        Some(last.next_page_token.clone()).filter(|token| !token.is_empty())
    }

    /// The texts, newest first.
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.posts().map(|post| post.text.as_str()).collect()
    }

    /// The posts, newest first.
    pub(crate) fn posts(&self) -> impl Iterator<Item = &Post> {
        self.items().map(|item| item.post.as_ref().expect("an item has its post"))
    }

    /// The number of items of each page.
    pub(crate) fn page_sizes(&self) -> Vec<usize> {
        self.pages.iter().map(|page| page.items.len()).collect()
    }

    /// The position of the listing, which must be the same on all its pages.
    pub(crate) fn cursor(&self) -> &str {
        let cursor = &self.pages[0].cursor;
        assert!(self.pages.iter().all(|page| page.cursor == *cursor), "the cursor changed");
        cursor
    }

    fn items(&self) -> impl Iterator<Item = &FeedItem> {
        self.pages.iter().flat_map(|page| &page.items)
    }
}
