-- Does the programme grow?
-- Contacts per week who wrote, came and left, and how many there were in all.
SELECT week, active, new, lost, sum(new - lost) OVER (ORDER BY week)::BIGINT AS net_growth
FROM contacts_weekly
ORDER BY week DESC;
