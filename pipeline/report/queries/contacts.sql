-- Contacts per week who wrote, came or left.
UNPIVOT (
    SELECT week, active, new, lost
    FROM contacts_weekly
    WHERE week >= date_trunc('week', getvariable('today') - 182) AND week < date_trunc('week', getvariable('today'))
) ON active, new, lost INTO NAME what VALUE contacts
ORDER BY week, what;
