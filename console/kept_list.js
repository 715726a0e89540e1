// Lists that are kept up to date by the events of a stream, by the rules in the protos: after each bookmark they have
// what the pages have. Never calls the server.

/** A revision, which is a whole number of 64 bits. */
export const revision = (text) => BigInt(text ?? 0);

// A window that is open for days keeps no more than this; who wants older entries reads the pages again.
const ENTRIES_MAX = 1000;

const newestFirst = (a, b) => (a > b ? -1 : a < b ? 1 : 0);

/** Entries by their revision, down to the end of the pages that were read. */
class KeptList {
  constructor() {
    this.clear();
  }

  clear() {
    this.entries = new Map();
    this.end = 0n;
    this.processed = 0n;
    // Whether pages must be read again, which may fail, and is then still to be done.
    this.isStale = false;
  }

  /** Adds a page. `isLast` is it if there is no further one. */
  addPage(entries, isLast) {
    for (const entry of entries) this.entries.set(revision(entry.revision), entry);
    const last = entries.at(-1);
    if (isLast) this.end = 0n;
    else if (last) this.end = revision(last.revision);
  }

  /** Newest first. */
  all() {
    return [...this.entries.keys()].sort(newestFirst).map((key) => this.entries.get(key));
  }

  insert(entry) {
    if (entry && revision(entry.revision) >= this.end) this.entries.set(revision(entry.revision), entry);
  }

  remove(matches) {
    for (const [key, entry] of this.entries) if (matches(entry)) this.entries.delete(key);
  }

  /** Leaves out the oldest entries beyond the limit, and says whether there were any. */
  trim() {
    const keys = [...this.entries.keys()].sort(newestFirst);
    const beyond = keys.slice(ENTRIES_MAX);
    beyond.forEach((key) => this.entries.delete(key));
    if (beyond.length) this.end = keys[ENTRIES_MAX - 1];
    return beyond.length > 0;
  }

  /** Applies the events of a batch that are new. */
  apply(events) {
    for (const event of events) {
      if (revision(event.revision) <= this.processed) continue;
      this.applyOne(event);
      this.processed = revision(event.revision);
      this.isStale ||= revision(event.pageAgainRevision) > 0n;
    }
  }
}

export class FeedList extends KeptList {
  applyOne({ posted, reposted, unreposted, deleted, authorRemoved }) {
    if (posted) this.insert(posted.item);
    if (reposted) this.insert(reposted.item);
    if (unreposted) {
      this.remove((item) => item.post.postId === unreposted.postId && item.repostedByUserId === unreposted.userId);
      this.insert(unreposted.standIn);
    }
    if (deleted) this.remove((item) => item.post.postId === deleted.postId);
    if (authorRemoved) {
      this.remove((item) => (item.repostedByUserId || item.post.authorId) === authorRemoved.authorId);
    }
  }
}

export class NotificationList extends KeptList {
  applyOne({ notified, withdrawn, deleted, actorRemoved }) {
    if (notified) this.insert(notified.notification);
    if (withdrawn) this.remove((it) => it.revision === withdrawn.notificationRevision);
    if (deleted) this.remove((it) => it.subjectPostId === deleted.postId || it.post?.postId === deleted.postId);
    if (actorRemoved) this.remove((it) => it.actorId === actorRemoved.actorId);
  }
}
