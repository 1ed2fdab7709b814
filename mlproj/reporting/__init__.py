"""What a CI system is shown of a run: reports, JUnit's XML, metrics as text, annotations."""
