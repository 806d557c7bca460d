"""The body: official files in, one asset out, and fast evaluation of its joints and vertices."""
