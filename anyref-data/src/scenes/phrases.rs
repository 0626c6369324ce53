//! Referring expressions: their words, and the objects of a scene that they mean.
//!
//! An expression is used only if it is unambiguous: it resolves to nothing where a person would
//! hesitate, and a phrase for one object is used only if it resolves to that object alone.

use super::composer::{Scene, SceneObject};

/// Positions closer than this share of the scene count as equal.
const MARGIN: f32 = 0.07;
/// Factor by which the "largest" object must exceed the next.
const LARGER: f32 = 1.35;

/// Direction in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Towards x = 0.
    Left,
    /// Towards the picture's width.
    Right,
    /// Towards y = 0.
    Top,
    /// Towards the picture's height.
    Bottom,
}

impl Side {
    /// All four sides.
    pub(crate) const ALL: [Self; 4] = [Self::Left, Self::Right, Self::Top, Self::Bottom];

    /// Coordinate of an object's centre along this direction, as a share of the scene: -1 to 0 or 0
    /// to 1.
    fn reach(self, scene: &Scene, object: &SceneObject) -> f32 {
        let [x, y] = object.centre();
        let (x, y) = (
            x / scene.image.width() as f32,
            y / scene.image.height() as f32,
        );
        match self {
            Self::Left => -x,
            Self::Right => x,
            Self::Top => -y,
            Self::Bottom => y,
        }
    }

    /// Distance of an object from the opposite edge, as a share of the scene, 0 to 1.
    fn depth(self, scene: &Scene, object: &SceneObject) -> f32 {
        let reach = self.reach(scene, object);
        if reach < 0.0 { 1.0 + reach } else { reach }
    }

    /// "on the left", "at the top".
    pub(crate) fn place(self) -> &'static str {
        match self {
            Self::Left => "on the left",
            Self::Right => "on the right",
            Self::Top => "at the top",
            Self::Bottom => "at the bottom",
        }
    }

    /// "left of", "above".
    pub(crate) fn relation(self) -> &'static str {
        match self {
            Self::Left => "left of",
            Self::Right => "right of",
            Self::Top => "above",
            Self::Bottom => "below",
        }
    }
}

/// Group of objects that are compared by size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Objects of one noun or name.
    Noun(String),
    /// Objects of one category that has an everyday word.
    Category(&'static str),
    /// Every object.
    All,
}

/// Expression that refers to objects of a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Bare noun or name: every object that it fits.
    Named(String),
    /// "every dog".
    Every(String),
    /// "dog on the left".
    Placed(String, Side),
    /// "second dog from the left".
    Second(String, Side),
    /// "dog left of the drum".
    Related(String, Side, String),
    /// "largest dog", "smallest animal".
    Sized(Group, bool),
}

/// Categories, and the everyday word for one of their objects.
const CATEGORIES: [(&str, &str); 4] = [
    ("animals", "animal"),
    ("vehicles", "vehicle"),
    ("plants", "plant"),
    ("shapes", "shape"),
];

/// Indices of the objects that a noun or a name fits.
pub fn named(scene: &Scene, word: &str) -> Vec<usize> {
    let fits = |o: &SceneObject| o.noun == word || o.name == word;
    (0..scene.objects.len())
        .filter(|&i| fits(&scene.objects[i]))
        .collect()
}

/// Returns whether `text` is an unambiguous expression for `object` and no other object of the
/// scene.
pub fn tells_apart(scene: &Scene, object: usize, text: &str) -> bool {
    let all = Expression::all_for(scene, object);
    all.iter().any(|expression| expression.text() == text)
}

/// Indices of `among` that lie clearly on that side of `anchor`; `None` when one of them is
/// doubtful.
pub(crate) fn beside(
    scene: &Scene,
    among: &[usize],
    side: Side,
    anchor: usize,
) -> Option<Vec<usize>> {
    let across = match side {
        Side::Left | Side::Right => Side::Bottom,
        Side::Top | Side::Bottom => Side::Right,
    };
    let from = &scene.objects[anchor];
    let mut found = Vec::new();
    for &i in among.iter().filter(|&&i| i != anchor) {
        let object = &scene.objects[i];
        let along = side.reach(scene, object) - side.reach(scene, from);
        let off = (across.reach(scene, object) - across.reach(scene, from)).abs();
        if along > 1.5 * MARGIN && along > 0.6 * off {
            found.push(i);
        } else if along > -0.5 * MARGIN {
            return None;
        }
    }
    Some(found)
}

impl Expression {
    /// Words of the expression, without an article.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Named(word) => word.clone(),
            Self::Every(word) => format!("every {word}"),
            Self::Placed(word, side) => format!("{word} {}", side.place()),
            Self::Second(word, side) => {
                let from = side
                    .place()
                    .replacen("on ", "from ", 1)
                    .replacen("at ", "from ", 1);
                format!("second {word} {from}")
            }
            Self::Related(word, side, anchor) => {
                format!("{word} {} the {anchor}", side.relation())
            }
            Self::Sized(group, largest) => {
                let word = match group {
                    Group::Noun(word) => word.as_str(),
                    Group::Category(word) => word,
                    Group::All => "object",
                };
                format!("{} {word}", if *largest { "largest" } else { "smallest" })
            }
        }
    }

    /// Indices of the objects meant, possibly none; `None` when the scene leaves it ambiguous.
    pub(crate) fn resolve(&self, scene: &Scene) -> Option<Vec<usize>> {
        match self {
            Self::Named(word) => Some(named(scene, word)),
            Self::Every(word) => Some(named(scene, word)).filter(|found| found.len() > 1),
            Self::Placed(word, side) => {
                let order = ranked(scene, named(scene, word), *side)?;
                let first = *order.first()?;
                // A single object must lie well on that side; one of several, not on the other
                // side.
                let enough = if order.len() == 1 { 0.6 } else { 0.42 };
                (side.depth(scene, &scene.objects[first]) >= enough).then(|| vec![first])
            }
            Self::Second(word, side) => {
                let order = ranked(scene, named(scene, word), *side)?;
                (order.len() > 2).then(|| vec![order[1]])
            }
            Self::Related(word, side, anchor) => {
                let anchors = named(scene, anchor);
                let among = named(scene, word);
                match anchors[..] {
                    [anchor] if !among.contains(&anchor) => beside(scene, &among, *side, anchor),
                    _ => None,
                }
            }
            Self::Sized(group, largest) => {
                let mut members = match group {
                    Group::Noun(word) => named(scene, word),
                    Group::Category(word) => category_members(scene, word),
                    // Nameless objects are objects too.
                    Group::All if !scene.made_up.is_empty() => return None,
                    Group::All => (0..scene.objects.len()).collect(),
                };
                members.sort_by_key(|&i| scene.objects[i].area);
                if *largest {
                    members.reverse();
                }
                let [first, next] = [*members.first()?, *members.get(1)?];
                let (a, b) = (
                    scene.objects[first].area as f32,
                    scene.objects[next].area as f32,
                );
                (a.max(b) >= LARGER * a.min(b)).then(|| vec![first])
            }
        }
    }

    /// All unambiguous expressions for one object, plain ones first.
    pub(crate) fn all_for(scene: &Scene, target: usize) -> Vec<Self> {
        let object = &scene.objects[target];
        let mut words = vec![object.noun.clone()];
        if object.name != object.noun {
            words.push(object.name.clone());
        }
        let mut found: Vec<Self> = words.iter().cloned().map(Self::Named).collect();
        for word in &words {
            found.extend(Side::ALL.map(|side| Self::Placed(word.clone(), side)));
            found.extend(Side::ALL.map(|side| Self::Second(word.clone(), side)));
            found.extend([true, false].map(|l| Self::Sized(Group::Noun(word.clone()), l)));
        }
        for (_, word) in CATEGORIES
            .iter()
            .filter(|(category, _)| *category == object.category)
        {
            found.extend([true, false].map(|l| Self::Sized(Group::Category(word), l)));
        }
        found.extend([true, false].map(|l| Self::Sized(Group::All, l)));
        for anchor in scene.objects.iter().filter(|o| o.noun != object.noun) {
            let related = |side| Self::Related(object.noun.clone(), side, anchor.noun.clone());
            found.extend(Side::ALL.map(related));
        }
        found.retain(|e| e.resolve(scene).is_some_and(|objects| objects == [target]));
        found
    }

    /// Noun of an object with its position on the clearest side; `None` when no side is clear.
    pub(crate) fn placed(scene: &Scene, target: usize) -> Option<Self> {
        let object = &scene.objects[target];
        let alone = named(scene, &object.noun).len() == 1;
        let clear = |side: Side| match alone {
            true => side.depth(scene, object),
            false => lead(scene, &object.noun, side),
        };
        let sides = Side::ALL.into_iter().filter(|&side| {
            let expression = Self::Placed(object.noun.clone(), side);
            expression
                .resolve(scene)
                .is_some_and(|found| found == [target])
        });
        let clearest = sides.max_by(|&a, &b| clear(a).total_cmp(&clear(b)))?;
        Some(Self::Placed(object.noun.clone(), clearest))
    }

    /// Shortest expression that distinguishes one object from the others: its noun if that is
    /// enough, otherwise a position, a rank, a size or a neighbour, then its name.
    pub(crate) fn distinguishing(scene: &Scene, target: usize) -> Option<Self> {
        let noun = &scene.objects[target].noun;
        let rank = |e: &Self| match e {
            Self::Named(word) if word == noun => 0.0,
            // The clearest side ranks first.
            Self::Placed(word, side) if word == noun => 2.0 - lead(scene, word, *side),
            Self::Second(word, _) if word == noun => 3.0,
            Self::Sized(Group::Noun(word), _) if word == noun => 4.0,
            Self::Related(..) => 5.0,
            Self::Named(_) => 6.0,
            _ => 7.0,
        };
        let mut all = Self::all_for(scene, target);
        all.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        all.into_iter().next()
    }
}

/// Objects ordered towards a side, the outermost first; `None` when the order is ambiguous.
fn ranked(scene: &Scene, mut members: Vec<usize>, side: Side) -> Option<Vec<usize>> {
    let reach = |i: usize| side.reach(scene, &scene.objects[i]);
    members.sort_by(|&a, &b| reach(b).total_cmp(&reach(a)));
    let clear = members
        .windows(2)
        .all(|pair| reach(pair[0]) - reach(pair[1]) >= MARGIN);
    clear.then_some(members)
}

/// Lead of the outermost object of a word over the next, as a share of the scene.
fn lead(scene: &Scene, word: &str, side: Side) -> f32 {
    let order = ranked(scene, named(scene, word), side).unwrap_or_default();
    let reach = |at: usize| order.get(at).map(|&i| side.reach(scene, &scene.objects[i]));
    reach(0)
        .zip(reach(1))
        .map_or(0.0, |(first, next)| first - next)
}

fn category_members(scene: &Scene, word: &str) -> Vec<usize> {
    let fits = |o: &SceneObject| CATEGORIES.contains(&(o.category.as_str(), word));
    (0..scene.objects.len())
        .filter(|&i| fits(&scene.objects[i]))
        .collect()
}
