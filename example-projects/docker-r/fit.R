# Fits the stopping distance of cars (a data set of R itself) by their speed.

arguments <- as.integer(commandArgs(trailingOnly = TRUE))
degree <- arguments[1]
folds <- arguments[2]
set.seed(arguments[3])

# A metric is a line of JSON; mlproj shows and stores it while the script runs.
log_metric <- function(name, value, step) {
  line <- sprintf('{"name": "%s", "value": %.6f, "step": %d}\n', name, value, step)
  cat(line, file = Sys.getenv("MLPROJ_METRICS", "metrics.jsonl"), append = TRUE)
}

fit <- function(data) lm(dist ~ poly(speed, degree), data = data)

fold <- sample(rep_len(seq_len(folds), nrow(cars)))
errors <- numeric(0)
for (number in seq_len(folds)) {
  held_out <- cars[fold == number, ]
  predicted <- predict(fit(cars[fold != number, ]), held_out)
  errors <- c(errors, held_out$dist - predicted)
  log_metric("rmse", sqrt(mean(errors^2)), number)
}

model <- fit(cars)
log_metric("r2", summary(model)$r.squared, folds)
write.csv(data.frame(term = names(coef(model)), estimate = coef(model)), "coefficients.csv", row.names = FALSE)

pdf("fit.pdf")
plot(cars, xlab = "Speed (mph)", ylab = "Stopping distance (ft)")
lines(cars$speed, fitted(model))
invisible(dev.off())

cat(sprintf("degree %d: rmse %.3f ft over %d folds, r2 %.3f\n", degree, sqrt(mean(errors^2)), folds, summary(model)$r.squared))
