"""Files in and out: what people attach to a question, and what an agent makes."""
