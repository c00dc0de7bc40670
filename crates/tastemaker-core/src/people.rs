//! What is known about the users.

use crate::catalog::Attribute;

/// Attributes of users; which of them are sensitive is a typed fact, not a convention of names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserAttributes {
    attributes: Vec<UserAttribute>,
}

/// One attribute of users, one row a user.
#[derive(Clone, Debug, PartialEq)]
pub struct UserAttribute {
    /// Name and values.
    pub attribute: Attribute,
    /// Whether treating users differently by it needs a justification (gender, age, …).
    pub sensitive: bool,
}

impl UserAttributes {
    /// Builds from attributes that all have one row a user.
    pub fn new(attributes: Vec<UserAttribute>) -> Self {
        Self { attributes }
    }

    /// All attributes.
    pub fn attributes(&self) -> &[UserAttribute] {
        &self.attributes
    }

    /// The attribute called `name`.
    pub fn attribute(&self, name: &str) -> Option<&UserAttribute> {
        self.attributes.iter().find(|known| known.attribute.name == name)
    }
}
