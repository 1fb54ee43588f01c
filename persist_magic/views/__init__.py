"""Views: what people look at. They show what `job` and `status` tell and decide nothing."""
