"""Items that change between two trainings: new ones by their content, hidden ones, new metadata."""
