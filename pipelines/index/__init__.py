"""What exists: videos, captions, poses, features made elsewhere."""
