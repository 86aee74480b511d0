-- Messages lie in the partition of the day in UTC, whatever the session's time zone.

select 'realtime.messages_' || to_char(now() at time zone 'utc', 'YYYY_MM_DD') as today \gset
set timezone = 'Asia/Tokyo';
select realtime.send('{}', 'ev', 'tz-tokyo');
insert into realtime.messages (topic, extension, event, payload) values ('tz-tokyo', 'broadcast', 'ev', '{}');
set timezone = 'Pacific/Kiritimati';
select realtime.send('{}', 'ev', 'tz-kiritimati');
set timezone = 'Pacific/Pago_Pago';
select realtime.send('{}', 'ev', 'tz-pago');
select topic, tableoid::regclass::text in (:'today', 'realtime.messages_' || to_char(now() at time zone 'utc', 'YYYY_MM_DD')) as in_todays,
	abs(extract(epoch from inserted_at - now() at time zone 'utc')) < 60 as in_utc
from realtime.messages where topic like 'tz-%' order by position;
delete from realtime.messages;
reset timezone;
