"""Care for stores: is a journal whole, what exactly is wrong, what is lost."""
