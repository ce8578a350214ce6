//! A tree ensemble of ai.onnx.ml, with the exact comparisons of 32 bit numbers that it defines.

use std::collections::BTreeMap;

use super::OnnxError;
use super::graph::NodeProto;

/// Trees that add up to a score for each class.
#[derive(Clone, Debug)]
pub(crate) struct Trees {
    nodes: Vec<Node>,
    roots: Vec<usize>,
    /// (class, weight) of each leaf, by the leaf's range.
    weights: Vec<(usize, f64)>,
    base: Vec<f64>,
    /// Only one class has weights: it speaks for the second of two.
    one_sided: bool,
    all_positive: bool,
    post: Post,
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Leaf {
        from: usize,
        until: usize,
    },
    Inner {
        feature: usize,
        mode: Mode,
        value: f32,
        missing_true: bool,
        /// Where a row goes that the comparison is true of, and where the others go.
        next: [usize; 2],
    },
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
}

/// What is done to the sums of a classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Post {
    None,
    Logistic,
    Softmax,
}

impl Post {
    pub(crate) fn read(node: &NodeProto) -> Result<Post, OnnxError> {
        match node.text("post_transform") {
            "" | "NONE" => Ok(Post::None),
            "LOGISTIC" => Ok(Post::Logistic),
            "SOFTMAX" => Ok(Post::Softmax),
            other => Err(OnnxError::Unsupported(format!("post_transform {other} of {}", node.op))),
        }
    }

    /// The probability of the second of two classes.
    pub(crate) fn of_two(self, sums: [f64; 2]) -> [f64; 2] {
        match self {
            Post::None => sums,
            Post::Logistic => sums.map(logistic),
            Post::Softmax => {
                let second = logistic(sums[1] - sums[0]);
                [1.0 - second, second]
            }
        }
    }
}

fn logistic(logit: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-logit))
}

impl Trees {
    pub(crate) fn read(node: &NodeProto) -> Result<Trees, OnnxError> {
        let broken = || OnnxError::Broken("tree ensemble");
        let ids = node.integers("nodes_nodeids");
        let trees = node.integers("nodes_treeids");
        let place = |tree: i64, id: i64, places: &BTreeMap<(i64, i64), usize>| {
            places.get(&(tree, id)).copied().ok_or_else(broken)
        };
        if ids.len() != trees.len() {
            return Err(broken());
        }
        let places: BTreeMap<(i64, i64), usize> =
            trees.iter().copied().zip(ids.iter().copied()).zip(0..).collect();
        if places.len() != ids.len() {
            return Err(broken());
        }
        let mut of_leaf: BTreeMap<usize, Vec<(usize, f64)>> = BTreeMap::new();
        let classes = node.integers("class_ids");
        let leaves = node.integers("class_treeids").iter().zip(node.integers("class_nodeids"));
        let weights = node.floats("class_weights");
        for (at, (tree, id)) in leaves.enumerate() {
            let class = classes.get(at).and_then(|class| usize::try_from(*class).ok());
            let (class, weight) = class.zip(weights.get(at)).ok_or_else(broken)?;
            if class > 1 {
                return Err(OnnxError::Classes);
            }
            let leaf = place(*tree, *id, &places)?;
            of_leaf.entry(leaf).or_default().push((class, f64::from(*weight)));
        }
        let mut read = Trees {
            nodes: Vec::new(),
            roots: Vec::new(),
            weights: Vec::new(),
            base: node.floats("base_values").iter().map(|base| f64::from(*base)).collect(),
            one_sided: classes.windows(2).all(|pair| pair[0] == pair[1]),
            all_positive: weights.iter().all(|weight| *weight >= 0.0),
            post: Post::read(node)?,
        };
        let mut has_parent = vec![false; ids.len()];
        for (at, tree) in trees.iter().enumerate() {
            let made =
                read.node(node, at, &of_leaf, &mut has_parent, &|id| place(*tree, id, &places))?;
            read.nodes.push(made);
        }
        // Every node has one parent or is a root, and what a root reaches is reached once: no
        // cycle.
        read.roots = (0..ids.len()).filter(|at| !has_parent[*at]).collect();
        if read.roots.is_empty() || read.reached() != ids.len() {
            return Err(broken());
        }
        Ok(read)
    }

    fn node(
        &mut self,
        node: &NodeProto,
        at: usize,
        of_leaf: &BTreeMap<usize, Vec<(usize, f64)>>,
        has_parent: &mut [bool],
        place: &dyn Fn(i64) -> Result<usize, OnnxError>,
    ) -> Result<Node, OnnxError> {
        let broken = || OnnxError::Broken("tree ensemble");
        let mode = match node.texts("nodes_modes").get(at).ok_or_else(broken)?.as_str() {
            "LEAF" => {
                let from = self.weights.len();
                self.weights.extend(of_leaf.get(&at).into_iter().flatten());
                return Ok(Node::Leaf { from, until: self.weights.len() });
            }
            "BRANCH_LEQ" => Mode::Leq,
            "BRANCH_LT" => Mode::Lt,
            "BRANCH_GTE" => Mode::Gte,
            "BRANCH_GT" => Mode::Gt,
            "BRANCH_EQ" => Mode::Eq,
            "BRANCH_NEQ" => Mode::Neq,
            other => return Err(OnnxError::Unsupported(format!("a tree node of mode {other}"))),
        };
        let integer = |name| node.integers(name).get(at).copied().ok_or_else(broken);
        let next = [place(integer("nodes_truenodeids")?)?, place(integer("nodes_falsenodeids")?)?];
        for child in next {
            if std::mem::replace(&mut has_parent[child], true) {
                return Err(broken());
            }
        }
        let tracks = node.integers("nodes_missing_value_tracks_true").get(at);
        Ok(Node::Inner {
            feature: usize::try_from(integer("nodes_featureids")?).map_err(|_| broken())?,
            mode,
            value: *node.floats("nodes_values").get(at).ok_or_else(broken)?,
            missing_true: tracks == Some(&1),
            next,
        })
    }

    fn reached(&self) -> usize {
        let (mut open, mut reached) = (self.roots.clone(), 0);
        while let Some(at) = open.pop() {
            reached += 1;
            if let Node::Inner { next, .. } = self.nodes[at] {
                open.extend(next);
            }
        }
        reached
    }

    /// The most features that a node looks at.
    pub(crate) fn features(&self) -> usize {
        let feature = |node: &Node| match node {
            Node::Leaf { .. } => 0,
            Node::Inner { feature, .. } => feature + 1,
        };
        self.nodes.iter().map(feature).max().unwrap_or(0)
    }

    /// The scores of both classes.
    pub(crate) fn scores(&self, row: &[f64]) -> [f64; 2] {
        let mut sums = [0.0, 0.0];
        for root in &self.roots {
            let mut at = *root;
            while let Node::Inner { feature, mode, value, missing_true, next } = self.nodes[at] {
                let is = row[feature] as f32;
                let holds = if is.is_nan() { missing_true } else { mode.holds(is, value) };
                at = next[usize::from(!holds)];
            }
            if let Node::Leaf { from, until } = self.nodes[at] {
                for (class, weight) in &self.weights[from..until] {
                    sums[*class] += weight;
                }
            }
        }
        if !self.one_sided {
            for (sum, base) in sums.iter_mut().zip(&self.base) {
                *sum += base;
            }
            return self.post.of_two(sums);
        }
        let sum = sums[0] + sums[1] + self.base.last().copied().unwrap_or(0.0);
        match self.post {
            Post::Logistic | Post::Softmax => Post::Softmax.of_two([0.0, sum]),
            Post::None if self.all_positive => [1.0 - sum, sum],
            Post::None => [-sum, sum],
        }
    }
}

impl Mode {
    fn holds(self, is: f32, value: f32) -> bool {
        match self {
            Mode::Leq => is <= value,
            Mode::Lt => is < value,
            Mode::Gte => is >= value,
            Mode::Gt => is > value,
            Mode::Eq => is == value,
            Mode::Neq => is != value,
        }
    }
}
