//! The follow graph of a shape: how large each audience is, and who is in it. The same for every run,
//! whatever random numbers a run has. Never calls a server.

use std::collections::HashSet;

use fastrand::Rng;

use super::Shape;

/// The seed of the choice of followers.
const SEED: u64 = 0x5eed_f011;
/// Halvings of the interval that has the least audience: as exact as the numbers are.
const HALVINGS: u32 = 64;

/// A follow graph, made from the sizes of audiences.
///
/// Users stand in a ring. An audience is chosen among those who come after its user: among all of them
/// or, of friendships, among the nearer half, so that no two users choose each other.
#[derive(Clone, Debug)]
pub struct FollowGraph {
    /// How many each user is followed by or, of friendships, chooses as friends.
    sizes: Vec<u32>,
    is_mutual: bool,
}

/// One user follows another; both are numbers from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FollowEdge {
    /// Who follows.
    pub follower: u32,
    /// Who is followed.
    pub followee: u32,
}

impl FollowGraph {
    /// The graph of a shape, which has as many follows as the shape says.
    #[must_use]
    pub fn new(shape: &Shape) -> Self {
        let others = shape.users.saturating_sub(1);
        let (total, size_max) = match shape.mutual {
            true => (shape.follows / 2, others / 2),
            false => (shape.follows, others),
        };
        let sizes = sizes(shape.users, total, size_max, shape.audience_tail);
        Self { sizes, is_mutual: shape.mutual }
    }

    /// All follows, in the order in which they are made.
    pub fn edges(self) -> impl Iterator<Item = FollowEdge> + Send {
        let users = self.sizes.len() as u32;
        let is_mutual = self.is_mutual;
        let others = users.saturating_sub(1);
        let choosable = if is_mutual { others / 2 } else { others };
        (0..).zip(self.sizes).flat_map(move |(user, size): (u32, u32)| {
            let mut rng = Rng::with_seed(SEED ^ u64::from(user));
            chosen(&mut rng, size, choosable).into_iter().flat_map(move |distance| {
                let other = (u64::from(user) + u64::from(distance)) % u64::from(users);
                let edge = FollowEdge { follower: other as u32, followee: user };
                let returned = FollowEdge { follower: edge.followee, followee: edge.follower };
                [Some(edge), is_mutual.then_some(returned)].into_iter().flatten()
            })
        })
    }
}

/// The sizes of the audiences of `users` users, rising, `total` in sum and each at most `size_max`:
/// all equal or, with `tail`, the quantiles of a Pareto distribution with this exponent.
fn sizes(users: u64, total: u64, size_max: u64, tail: Option<f64>) -> Vec<u32> {
    let size_max = size_max as f64;
    let quantile = |user: u64| (user as f64 + 0.5) / users as f64;
    let weights: Vec<f64> = (0..users)
        .map(|user| tail.map_or(1.0, |tail| (1.0 - quantile(user)).powf(-1.0 / tail)))
        .collect();
    // The bound cuts off the tail, so the least audience follows from the sum and not from the mean.
    let sum = |least: f64| weights.iter().map(|weight| (least * weight).min(size_max)).sum::<f64>();
    let (mut low, mut high) = (0.0, size_max);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        match sum(middle) < total as f64 {
            true => low = middle,
            false => high = middle,
        }
    }
    // Rounding the running sum, instead of each size, keeps the total.
    let (mut exact, mut rounded) = (0.0_f64, 0);
    let mut sizes: Vec<u32> = weights
        .iter()
        .map(|weight| {
            exact += (high * weight).min(size_max);
            let before = std::mem::replace(&mut rounded, exact.round() as u64);
            (rounded - before) as u32
        })
        .collect();
    // What the sum of so many fractions is off by.
    if let Some(last) = sizes.last_mut() {
        *last = (u64::from(*last) + total).saturating_sub(rounded) as u32;
    }
    sizes
}

/// `count` different numbers from 1 to `max`, each choice as likely as any other (Floyd's algorithm).
fn chosen(rng: &mut Rng, count: u32, max: u32) -> Vec<u32> {
    let mut seen = HashSet::with_capacity(count as usize);
    let mut chosen = Vec::with_capacity(count as usize);
    for limit in max.saturating_sub(count) + 1..=max {
        let number = rng.u32(1..=limit);
        let number = if seen.contains(&number) { limit } else { number };
        seen.insert(number);
        chosen.push(number);
    }
    chosen
}
