//! Reads: pages, lists, threads, and the rules that hide posts.

mod bounded_pages;
mod feed_rules;
mod hidden_counts;
mod hidden_people;
mod news_feed;
mod reads;
mod thread;
mod thread_steps;
