task is_perfect (n: int) -> bool
about     Whether n is the sum of its smaller divisors.
requires  0 < n && n <= 200
example   1 -> false
example   6 -> true
example   12 -> false
example   28 -> true
example   27 -> false
reference n == sum (filter (\x -> n % x == 0) (drop 1 (range n)))
