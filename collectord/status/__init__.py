"""Views of the index for people and programs: plain documents, nothing printed."""
